#include "kernels/rendezvous.h"

#include "kernels/error.h"
#include "kernels/rendezvous_server.h"

namespace earmark {

namespace {

constexpr std::chrono::seconds kGrace{2};  // rank 0 gives up first, and says for whom it waited

Deadline after(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

Socket connected(const Rank& rank, std::chrono::milliseconds timeout) {
  try {
    return connect_to(rank.master_addr, rank.master_port, after(timeout));
  } catch (const Error& error) {
    fail("rank 0 of ", rank.size, " did not come to ", rank.master_addr, ":", rank.master_port, " within ",
         seconds_text(timeout), " (", error.what(), ")");
  }
}

}  // namespace

Rendezvous::Rendezvous(const Rank& rank, std::chrono::milliseconds timeout)
    : rank_(rank),
      timeout_(timeout),
      server_(rank.rank == 0 ? std::make_unique<RendezvousServer>(rank, timeout) : nullptr),
      to_server_(connected(rank, timeout)),
      address_(ask(kHello, std::to_string(rank.rank), std::to_string(rank.size), timeout + kGrace)) {}

Rendezvous::~Rendezvous() = default;

void Rendezvous::set(const std::string& key, const std::string& value) { ask(kSet, key, value, timeout_); }

std::string Rendezvous::get(const std::string& key) { return ask(kGet, key, "", timeout_); }

std::string Rendezvous::ask(std::uint8_t kind, const std::string& key, const std::string& value,
                            std::chrono::milliseconds timeout) const {
  Message message;
  try {
    const Deadline deadline = after(timeout);
    to_server_.send(encoded({kind, key, value}), deadline);
    message = receive_message(to_server_, deadline);
  } catch (const Error& error) {
    fail("rank 0 at ", rank_.master_addr, ":", rank_.master_port, ": ", error.what());
  }
  check(message.kind == kAnswer, message.value);
  return message.value;
}

}  // namespace earmark
