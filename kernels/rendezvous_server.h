// Rank 0's side of a rendezvous: a thread that knows which ranks have come, and keeps what they say under keys.
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "kernels/rank.h"
#include "kernels/socket.h"

namespace earmark {

/// What a rank asks, and how it is answered. `key` and `value` of a message mean:
constexpr std::uint8_t kHello = 1;   ///< key: the rank, value: how many it knows of. Answered when all have come.
constexpr std::uint8_t kSet = 2;     ///< Keeps `value`.
constexpr std::uint8_t kGet = 3;     ///< Answered when someone has set it.
constexpr std::uint8_t kAnswer = 4;  ///< value: of a hello, the address by which others reach the rank; of a get, that.
constexpr std::uint8_t kRefusal = 5;  ///< value: why.
constexpr std::uint8_t kFull = 6;     ///< As a refusal; but the group that is there may end, and another one come.

/// "rank 2", "ranks 1 and 3", "ranks 1, 2 and 5".
std::string ranks_text(const std::vector<int>& ranks);

class RendezvousServer {
 public:
  /// Listens at the host and port of `rank`. Those who came are told after `timeout` who did not; who comes when all
  /// are there is told so. Throws Error where it cannot listen.
  RendezvousServer(const Rank& rank, std::chrono::milliseconds timeout);
  ~RendezvousServer();
  RendezvousServer(const RendezvousServer&) = delete;
  RendezvousServer& operator=(const RendezvousServer&) = delete;

 private:
  struct Client {
    Socket socket;
    std::string peer;        // both ends of the socket, numeric
    std::string own;         //
    std::string received{};  // and not understood yet
    int rank = -1;           // none yet
    std::string wanted{};    // the key that it waits for, or none
    bool gone = false;
  };

  void serve();
  void accept();
  void read_from(Client& client);
  void take(Client& client, const Message& message);
  void greet(Client& client, const Message& message);
  void welcome_all();
  void give_up();
  void answer_waiting();
  static void answer(Client& client, std::uint8_t kind, const std::string& value);
  std::vector<int> missing() const;

  Rank rank_;
  std::chrono::milliseconds timeout_;
  Socket listener_;
  std::list<Client> clients_;
  std::map<std::string, std::string> values_;
  bool complete_ = false;
  bool given_up_ = false;
  std::atomic<bool> stopping_{false};
  Socket wake_;  // an event: stopping_ is set
  std::thread thread_;
};

}  // namespace earmark
