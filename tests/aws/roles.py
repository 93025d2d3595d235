"""Each function's role is enough and not too much: every call that matters is made with every role, and
refused or not as the table below has it. What the stand-in does not check is read in the template."""

import sys

import botocore.session
import yaml
from botocore.exceptions import ClientError

from common import REGION, ROOT, Stack

NAME = "dev-user-activity"
FUNCTIONS = ["command", "consumer", "trigger", "snapshot", "trim"]
REFUSALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}

# What a role may do, and nothing else.
MAY = {
    "command": {"kinesis:PutRecords"},
    "consumer": {
        "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator",
        "kinesis:ListShards", "kinesis:ListStreams",
        "dynamodb:PutItem events", "dynamodb:GetItem events", "dynamodb:TransactWriteItems events",
        "sqs:SendMessage late", "sqs:SendMessage quarantine",
        "s3:PutObject large-messages/", "s3:PutObject aws/lambda/", "s3:ListBucket",
    },
    "trigger": {
        "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
        "dynamodb:Query events", "dynamodb:GetItem view", "dynamodb:PutItem view", "dynamodb:UpdateItem view",
        "dynamodb:TransactWriteItems view",
        "sqs:SendMessage late", "sqs:SendMessage quarantine", "sqs:SendMessage snapshot", "sqs:SendMessage trim",
        "s3:PutObject large-messages/", "s3:PutObject aws/lambda/", "s3:ListBucket",
    },
    "snapshot": {
        "dynamodb:Query events", "dynamodb:GetItem view", "dynamodb:PutItem view", "dynamodb:UpdateItem view",
        "dynamodb:TransactWriteItems view",
        "sqs:ReceiveMessage snapshot", "sqs:DeleteMessage snapshot", "sqs:GetQueueAttributes snapshot",
        "sqs:ChangeMessageVisibility snapshot", "sqs:SendMessage trim",
    },
    "trim": {
        "dynamodb:Query events", "dynamodb:BatchWriteItem events", "dynamodb:GetItem view", "dynamodb:PutItem view",
        "dynamodb:UpdateItem view", "dynamodb:TransactWriteItems view",
        "sqs:ReceiveMessage trim", "sqs:DeleteMessage trim", "sqs:GetQueueAttributes trim",
        "sqs:ChangeMessageVisibility trim", "s3:PutObject archive/",
    },
}
for function in FUNCTIONS:
    MAY[function] |= {"logs:CreateLogStream", "logs:PutLogEvents"}
    MAY[function] |= {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}

# What AWS documents that a mapping needs of its function's role.
MAPPINGS = {
    "AWS::Kinesis::Stream": {
        "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator",
        "kinesis:ListShards", "kinesis:ListStreams",
    },
    "AWS::DynamoDB::Table": {
        "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
    },
    "AWS::SQS::Queue": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    "AWS::S3::Bucket": {"s3:PutObject", "s3:ListBucket"},
}
# Calls whose resources the stand-in names in another way than AWS does: what roles may do there is read.
READ = {
    "dynamodb:DescribeStream": "EventsTable.StreamArn",
    "dynamodb:GetRecords": "EventsTable.StreamArn",
    "dynamodb:GetShardIterator": "EventsTable.StreamArn",
    "logs:CreateLogStream": "{}Logs.Arn",
    "logs:PutLogEvents": "{}Logs.Arn",
}
# Actions that cannot be limited to a resource.
UNLIMITED = {"kinesis:ListStreams", "dynamodb:ListStreams", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}


class Caller:
    """Clients with some credentials."""

    def __init__(self, url, key, secret, token=None):
        self.options = {
            "endpoint_url": url, "region_name": REGION, "aws_access_key_id": key, "aws_secret_access_key": secret,
            "aws_session_token": token,
        }
        self.session = botocore.session.get_session()
        self.clients = {}

    def __getattr__(self, service):
        if service not in self.clients:
            self.clients[service] = self.session.create_client(service, **self.options)
        return self.clients[service]


def calls(root, account, function):
    """Each call: what it is called in `MAY`, and how to make it."""
    stream = f"{NAME}-stream"
    shard = root.kinesis.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
    iterator = root.kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="LATEST")
    iterator = iterator["ShardIterator"]
    record = {"Data": b"{}", "PartitionKey": "p"}
    yield "kinesis:PutRecords", lambda by: by.kinesis.put_records(StreamName=stream, Records=[record])
    yield "kinesis:PutRecord", lambda by: by.kinesis.put_record(StreamName=stream, **record)
    arn = root.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    yield "kinesis:GetRecords", lambda by: by.kinesis.get_records(ShardIterator=iterator, StreamARN=arn)
    yield "kinesis:GetShardIterator", lambda by: by.kinesis.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="LATEST")
    yield "kinesis:DescribeStream", lambda by: by.kinesis.describe_stream(StreamName=stream)
    yield "kinesis:DescribeStreamSummary", lambda by: by.kinesis.describe_stream_summary(StreamName=stream)
    yield "kinesis:ListShards", lambda by: by.kinesis.list_shards(StreamName=stream)
    yield "kinesis:ListStreams", lambda by: by.kinesis.list_streams()
    yield "kinesis:DeleteStream", lambda by: by.kinesis.delete_stream(StreamName=stream)

    yield "dynamodb:ListStreams", lambda by: by.dynamodbstreams.list_streams()
    for short in ["events", "view"]:
        yield from table_calls(short)

    for queue in ["late", "quarantine", "snapshot", "trim", "snapshot-dead", "trim-dead"]:
        yield from queue_calls(root.sqs.get_queue_url(QueueName=f"{NAME}-{queue}")["QueueUrl"], queue)

    bucket = f"{NAME}-{account}-{REGION}"
    for prefix in ["archive/", "large-messages/", "aws/lambda/", "other/"]:
        at = {"Bucket": bucket, "Key": f"{prefix}x"}
        yield f"s3:PutObject {prefix}", lambda by, at=at: by.s3.put_object(Body=b"x", **at)
        yield f"s3:GetObject {prefix}", lambda by, at=at: by.s3.get_object(**at)
        yield f"s3:DeleteObject {prefix}", lambda by, at=at: by.s3.delete_object(**at)
    yield "s3:ListBucket", lambda by: by.s3.list_objects_v2(Bucket=bucket)
    yield "s3:DeleteBucket", lambda by: by.s3.delete_bucket(Bucket=bucket)

    for other in FUNCTIONS:
        name, group = f"{NAME}-{other}", f"/aws/lambda/{NAME}-{other}"
        yield f"lambda:InvokeFunction {other}", lambda by, name=name: by.__getattr__("lambda").invoke(FunctionName=name)
        yield f"lambda:UpdateFunctionConfiguration {other}", lambda by, name=name: by.__getattr__(
            "lambda").update_function_configuration(FunctionName=name, Description="x")
        yield f"logs:FilterLogEvents {other}", lambda by, group=group: by.logs.filter_log_events(logGroupName=group)
        yield f"logs:DeleteLogGroup {other}", lambda by, group=group: by.logs.delete_log_group(logGroupName=group)
    yield "xray:PutTraceSegments", lambda by: by.xray.put_trace_segments(TraceSegmentDocuments=["{}"])
    yield "xray:PutTelemetryRecords", lambda by: by.xray.put_telemetry_records(TelemetryRecords=[])
    yield "iam:CreateUser", lambda by: by.iam.create_user(UserName=f"by-{function}")
    yield "cloudformation:DeleteStack", lambda by: by.cloudformation.delete_stack(StackName=NAME)


def table_calls(short):
    name = f"{NAME}-{short}"
    keys = {"id": {"S": "nobody"}} | ({"sequence": {"S": "000000000000000/x"}} if short == "events" else {})
    # A condition that never holds: nothing is written where it is allowed.
    never = {"ConditionExpression": "attribute_exists(id)"}
    query = {"KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "nobody"}}}
    change = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
    put = [{"Put": {"TableName": name, "Item": keys, **never}}]
    delete = {name: [{"DeleteRequest": {"Key": keys}}]}
    for action, make in {
        "GetItem": lambda by: by.get_item(TableName=name, Key=keys),
        "BatchGetItem": lambda by: by.batch_get_item(RequestItems={name: {"Keys": [keys]}}),
        "Query": lambda by: by.query(TableName=name, **query),
        "Scan": lambda by: by.scan(TableName=name),
        "PutItem": lambda by: by.put_item(TableName=name, Item=keys, **never),
        "UpdateItem": lambda by: by.update_item(TableName=name, Key=keys, **change, **never),
        "TransactWriteItems": lambda by: by.transact_write_items(TransactItems=put),
        "DeleteItem": lambda by: by.delete_item(TableName=name, Key=keys),
        "BatchWriteItem": lambda by: by.batch_write_item(RequestItems=delete),
        "DescribeTable": lambda by: by.describe_table(TableName=name),
        "UpdateTable": lambda by: by.update_table(TableName=name, BillingMode="PAY_PER_REQUEST"),
        "DeleteTable": lambda by: by.delete_table(TableName=name),
    }.items():
        yield f"dynamodb:{action} {short}", lambda by, make=make: make(by.dynamodb)


def queue_calls(url, short):
    for action, make in {
        "SendMessage": lambda by: by.send_message(QueueUrl=url, MessageBody='{"key":"nobody"}'),
        "ReceiveMessage": lambda by: by.receive_message(QueueUrl=url, VisibilityTimeout=0),
        "DeleteMessage": lambda by: by.delete_message(QueueUrl=url, ReceiptHandle="x"),
        "ChangeMessageVisibility": lambda by: by.change_message_visibility(
            QueueUrl=url, ReceiptHandle="x", VisibilityTimeout=1),
        "GetQueueAttributes": lambda by: by.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]),
        "PurgeQueue": lambda by: by.purge_queue(QueueUrl=url),
        "DeleteQueue": lambda by: by.delete_queue(QueueUrl=url),
    }.items():
        yield f"sqs:{action} {short}", lambda by, make=make: make(by.sqs)


def is_refused(make, by):
    try:
        make(by)
    except ClientError as error:
        return error.response["Error"]["Code"] in REFUSALS
    return False


def role_of(stack, root, account, function):
    """A caller in the role of a function."""
    resource = f"{function.capitalize()}Role"
    described = root.cloudformation.describe_stack_resource(StackName=NAME, LogicalResourceId=resource)
    name = described["StackResourceDetail"]["PhysicalResourceId"]
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},'
        '"Action":"sts:AssumeRole"}]}' % account
    )
    root.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    arn = root.iam.get_role(RoleName=name)["Role"]["Arn"]
    got = root.sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return Caller(stack.url, got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])


def enforced():
    """What the stand-in enforces, call by call."""
    faults = []
    with Stack() as stack:
        stack.run("deploy", str(ROOT / "examples/user-activity/join.toml"), "--yes")
        root = Caller(stack.url, "test", "test")
        account = root.sts.get_caller_identity()["Account"]
        for function in FUNCTIONS:
            by = role_of(stack, root, account, function)
            allowed, refused, known = 0, 0, set()
            for call, make in calls(root, account, function):
                known.add(call)
                if is_refused(make, by):
                    refused += 1
                    if call in MAY[function]:
                        faults.append(f"{function} is refused {call}, which it needs")
                else:
                    allowed += 1
                    if call not in MAY[function]:
                        faults.append(f"{function} may {call}, which it must not")
            untried = {call for call in MAY[function] - known if call not in READ}
            faults += [f"{call} is not tried" for call in untried]
            print(f"roles: {function:<9} may {allowed:>2} of {allowed + refused} calls")
    return faults


class Loader(yaml.SafeLoader):
    """Reads `!Ref x` and its kin as {tag: value}."""


def tagged(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    return {tag: loader.construct_sequence(node, deep=True)}


Loader.add_multi_constructor("!", tagged)


def written():
    """What the template says, where the stand-in does not look."""
    resources = yaml.load((ROOT / "deploy/aws/template.yaml").read_text(), Loader)["Resources"]
    faults, used = [], []
    actions = {}
    for name, resource in resources.items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        may = actions[name] = set()
        for policy in resource["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                of = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                may |= set(of)
                on = statement["Resource"]
                if on == "*":
                    faults += [f"{name} has {action} on all" for action in set(of) - UNLIMITED]
                for action in set(of) & set(READ):
                    if on != {"GetAtt": READ[action].format(name.removesuffix("Role"))}:
                        faults.append(f"{name} has {action} on {on}")
        # A transaction is what it puts; what a mapping may use in the place of GetRecords is not tried.
        needs = {call.split()[0] for call in MAY[name.removesuffix("Role").lower()]} - {"dynamodb:TransactWriteItems"}
        may.discard("kinesis:SubscribeToShard")
        faults += [f"{name} has {action}, which is for nothing" for action in may - needs]
        faults += [f"{name} lacks {action}" for action in needs - may]
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Lambda::Function":
            used.append(resource["Properties"]["Role"]["GetAtt"].removesuffix(".Arn"))
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            properties = resource["Properties"]
            needs = set(MAPPINGS[resources[properties["EventSourceArn"]["GetAtt"].split(".")[0]]["Type"]])
            if "DestinationConfig" in properties:
                needs |= MAPPINGS["AWS::S3::Bucket"]
            role = f"{properties['FunctionName']['Ref']}Role"
            faults += [f"{role} lacks {action}, which {name} needs" for action in needs - actions[role]]
    if sorted(used) != sorted(actions):
        faults.append(f"functions have the roles {sorted(used)}, and there are {sorted(actions)}")
    return faults


def main():
    faults = written() + enforced()
    if faults:
        sys.exit("\n".join(["roles:"] + faults))


if __name__ == "__main__":
    main()
