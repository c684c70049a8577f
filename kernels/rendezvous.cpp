#include "kernels/rendezvous.h"

#include <algorithm>
#include <thread>

#include "kernels/error.h"
#include "kernels/rendezvous_server.h"

namespace earmark {

namespace {

constexpr std::chrono::seconds kGrace{2};  // rank 0 gives up first, and says for whom it waited
// Rank 0 listens already: only a name may take a while to be found. It gives up before the others: it knows more.
constexpr std::chrono::seconds kToItself{10};
constexpr std::chrono::milliseconds kBetweenTries{100};

Deadline after(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

Socket connected(const Rank& rank, std::chrono::milliseconds timeout, Deadline deadline) {
  const std::string place = str(rank.master_addr, ":", rank.master_port);
  try {
    return connect_to(rank.master_addr, rank.master_port,
                      rank.rank == 0 ? std::min({deadline, after(timeout / 2), after(kToItself)}) : deadline);
  } catch (const Error& error) {
    check(rank.rank != 0, "rank 0 of ", rank.size, " cannot be reached at ", place, " (", error.what(),
          "): is MASTER_ADDR an address of this machine?");
    fail("rank 0 of ", rank.size, " did not come to ", place, " within ", seconds_text(timeout), " (", error.what(),
         ")");
  }
}

}  // namespace

Rendezvous::Rendezvous(const Rank& rank, std::chrono::milliseconds timeout)
    : rank_(rank),
      timeout_(timeout),
      server_(rank.rank == 0 ? std::make_unique<RendezvousServer>(rank, timeout) : nullptr) {
  join();
}

Rendezvous::~Rendezvous() = default;

std::string Rendezvous::place() const { return str(rank_.master_addr, ":", rank_.master_port); }

// A group that is about to end, after a failure, may still listen where the next one meets: whoever comes early tries
// again.
void Rendezvous::join() {
  const Deadline deadline = after(timeout_);
  while (true) {
    to_server_ = connected(rank_, timeout_, deadline);
    const std::optional<std::string> problem = hello(deadline + kGrace);
    if (!problem) {
      return;
    }
    check(std::chrono::steady_clock::now() + kBetweenTries < deadline, "rank ", rank_.rank, " of ", rank_.size,
          " came to ", place(), ", but ", *problem, ", for ", seconds_text(timeout_));
    std::this_thread::sleep_for(kBetweenTries);
  }
}

/// Waits until all have come. What is in the way, where that may change.
std::optional<std::string> Rendezvous::hello(Deadline deadline) {
  Message answer;
  try {
    to_server_.send(encoded({kHello, std::to_string(rank_.rank), std::to_string(rank_.size)}), deadline);
    answer = receive_message(to_server_, deadline);
  } catch (const Disconnected& gone) {
    return str("whoever answers there is no rank 0, or ends (", gone.what(), ")");
  } catch (const Error& error) {
    fail("what listens at ", place(), " does not answer as rank 0 of ", rank_.size, " does: ", error.what());
  }
  if (answer.kind == kFull) {
    return answer.value;
  }
  check(answer.kind == kAnswer, answer.value);
  address_ = answer.value;
  return std::nullopt;
}

void Rendezvous::set(const std::string& key, const std::string& value) { ask(kSet, key, value); }

std::string Rendezvous::get(const std::string& key) { return ask(kGet, key, ""); }

std::string Rendezvous::ask(std::uint8_t kind, const std::string& key, const std::string& value) const {
  Message message;
  try {
    const Deadline deadline = after(timeout_);
    to_server_.send(encoded({kind, key, value}), deadline);
    message = receive_message(to_server_, deadline);
  } catch (const Error& error) {
    fail("rank 0 at ", place(), ": ", error.what());
  }
  check(message.kind == kAnswer, message.value);
  return message.value;
}

}  // namespace earmark
