// How the ranks of a group find each other: they come to rank 0's host and port, and leave there, under keys, what the
// others must know to reach them.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "kernels/rank.h"
#include "kernels/socket.h"

namespace earmark {

class RendezvousServer;

class Rendezvous {
 public:
  /// Blocks until all ranks have come; rank 0's process serves them until its Rendezvous is destroyed, and tells who
  /// comes later that the group is complete. Throws Error after `timeout`, naming the ranks that have not come, or
  /// where rank 0 is not to be found, or what is found there; and at once where two say they are the same rank, where
  /// they do not agree on how many there are, where something else than rank 0 answers, and where rank 0 cannot be
  /// reached at the address that it was told is its own.
  Rendezvous(const Rank& rank, std::chrono::milliseconds timeout);
  ~Rendezvous();
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  /// Where the other ranks reach this one: numeric.
  const std::string& address() const { return address_; }
  void set(const std::string& key, const std::string& value);
  /// Waits until someone has set it. Throws Error where nobody does in the constructor's time, or rank 0 has gone.
  std::string get(const std::string& key);

 private:
  void join();
  std::optional<std::string> hello(Deadline deadline);
  std::string ask(std::uint8_t kind, const std::string& key, const std::string& value) const;
  std::string place() const;

  Rank rank_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<RendezvousServer> server_;  // rank 0's
  Socket to_server_;
  std::string address_;
};

}  // namespace earmark
