//! HTTP: routes, bodies and answers.
