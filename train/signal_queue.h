// Signals as messages to read at a good moment, instead of handlers that run at any.
#pragma once

#include <csignal>
#include <optional>
#include <string>

#include "train/descriptor.h"

namespace earmark::train {

class SignalQueue {
 public:
  /// From now on SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGTSTP wait to be read; but SIGHUP
  /// not where this process was told to ignore it (nohup).
  SignalQueue();
  /// Lets them act as before.
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// Readable while signals wait.
  int descriptor() const { return descriptor_.get(); }
  /// The next one, without waiting.
  std::optional<int> next();
  /// What was blocked before: programs that are started get it.
  const sigset_t& mask_before() const { return before_; }

 private:
  sigset_t before_{};
  Descriptor descriptor_;
};

/// "SIGTERM"
std::string signal_name(int signal);

}  // namespace earmark::train
