// How the ranks of a group find each other: they come to rank 0's host and port, and leave there, under keys, what the
// others must know to reach them.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "kernels/rank.h"
#include "kernels/socket.h"

namespace earmark {

class RendezvousServer;

class Rendezvous {
 public:
  /// Blocks until all ranks have come; rank 0's process serves them until its Rendezvous is destroyed. Throws Error
  /// after `timeout`, naming the ranks that have not come, and at once where two say they are the same rank, or do not
  /// agree on how many there are.
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
  std::string ask(std::uint8_t kind, const std::string& key, const std::string& value,
                  std::chrono::milliseconds timeout) const;

  Rank rank_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<RendezvousServer> server_;  // rank 0's
  Socket to_server_;
  std::string address_;
};

}  // namespace earmark
