// SIGINT and SIGTERM ask a program to stop at the next good moment; a second one ends the process at once.
#pragma once

#include <atomic>

namespace earmark::data {

/// Installs the handlers (once per process) and returns the flag they set.
const std::atomic<bool>& watch_stop_signals();

}  // namespace earmark::data
