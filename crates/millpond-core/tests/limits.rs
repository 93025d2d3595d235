//! Limits are part of the formats: a store or a definition that was within them stays so.

use millpond_core::definition::{
    DEFINITION_BYTES_MAX, FIELDS_MAX, KEY_PATHS_MAX, LATENESS_MS_MAX, NAME_BYTES_MAX, TYPES_MAX,
};
use millpond_core::event::{EVENT_BYTES_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, TYPE_BYTES_MAX};
use millpond_core::process::consumer::FUTURE_MS_MAX;
use millpond_core::state::{STATE_BYTES_MAX, STATE_BYTES_WARN};

#[test]
fn limits_are_those_that_are_documented() {
    assert_eq!((DEFINITION_BYTES_MAX, TYPES_MAX, FIELDS_MAX, KEY_PATHS_MAX, NAME_BYTES_MAX), (65_536, 64, 64, 8, 64));
    assert_eq!((EVENT_BYTES_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, TYPE_BYTES_MAX), (399_360, 512, 1_024, 256));
    assert_eq!((LATENESS_MS_MAX, FUTURE_MS_MAX), (315_360_000_000, 300_000));
    assert_eq!((STATE_BYTES_WARN, STATE_BYTES_MAX), (65_536, 262_144));
}
