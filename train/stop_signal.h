// SIGINT and SIGTERM ask a run to stop after the current step; a second one ends the process at once.
#pragma once

#include <atomic>

namespace earmark::train {

/// Installs the handlers (once per process) and returns the flag they set.
const std::atomic<bool>& watch_stop_signals();

}  // namespace earmark::train
