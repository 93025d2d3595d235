// Follows a stream of changes with the npm package `eventsource`, and prints each thing that it
// says as a line of JSON. Whatever is resumed, that package resumes: nothing here knows of ids.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
const tell = (thing) => process.stdout.write(JSON.stringify(thing) + "\n");

source.addEventListener("open", () => tell({ said: "open" }));
for (const name of ["change", "reset", "message"]) {
  source.addEventListener(name, ({ lastEventId, data }) => tell({ said: name, id: lastEventId, data: JSON.parse(data) }));
}
source.addEventListener("error", ({ code, message }) => {
  tell({ said: source.readyState === EventSource.CLOSED ? "gave up" : "error", code, message });
});
