#include "train/signal_queue.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "kernels/error.h"

namespace earmark::train {
namespace {

constexpr std::array kQueued{SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP};

/// nohup has asked so. (A blocked signal waits even where it is ignored.)
bool hangups_are_ignored() {
  struct sigaction action = {};
  return ::sigaction(SIGHUP, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

SignalQueue::SignalQueue() {
  std::signal(SIGCHLD, SIG_DFL);  // where it is ignored, what children end with is lost
  sigset_t queued;
  sigemptyset(&queued);
  for (const int signal : kQueued) {
    if (signal != SIGHUP || !hangups_are_ignored()) {
      sigaddset(&queued, signal);
    }
  }
  descriptor_ = Descriptor(::signalfd(-1, &queued, SFD_CLOEXEC | SFD_NONBLOCK));
  check(descriptor_.is_open(), "signals cannot be read: ", std::strerror(errno));
  ::sigprocmask(SIG_BLOCK, &queued, &before_);
}

SignalQueue::~SignalQueue() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

std::optional<int> SignalQueue::next() {
  signalfd_siginfo info{};
  const ssize_t size = ::read(descriptor_.get(), &info, sizeof info);
  return size == sizeof info ? std::optional<int>(static_cast<int>(info.ssi_signo)) : std::nullopt;
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? str("signal ", signal) : str("SIG", name);
}

}  // namespace earmark::train
