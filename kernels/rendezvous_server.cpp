#include "kernels/rendezvous_server.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "kernels/error.h"

namespace earmark {

namespace {

constexpr std::chrono::milliseconds kGlance{50};  // how late the deadline may be seen
constexpr std::chrono::seconds kAnswerTime{5};

bool readable(const pollfd& polled) { return (polled.revents & (POLLIN | POLLHUP | POLLERR)) != 0; }

}  // namespace

std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ") + std::to_string(ranks[i]);
  }
  return text;
}

RendezvousServer::RendezvousServer(const Rank& rank, std::chrono::milliseconds timeout)
    : rank_(rank),
      timeout_(timeout),
      listener_(listen_at(rank.master_addr, rank.master_port)),
      wake_(::eventfd(0, EFD_CLOEXEC)) {
  check(static_cast<bool>(wake_), "rank 0: no event: ", std::strerror(errno));
  thread_ = std::thread([this] { serve(); });
}

RendezvousServer::~RendezvousServer() {
  stopping_ = true;
  ::eventfd_write(wake_.descriptor(), 1);
  thread_.join();
}

void RendezvousServer::serve() {
  const Deadline deadline = std::chrono::steady_clock::now() + timeout_;
  while (!stopping_) {
    std::vector<pollfd> polled{{listener_.descriptor(), POLLIN, 0}, {wake_.descriptor(), POLLIN, 0}};
    std::transform(clients_.begin(), clients_.end(), std::back_inserter(polled), [](const Client& client) {
      return pollfd{client.socket.descriptor(), POLLIN, 0};
    });
    ::poll(polled.data(), polled.size(), complete_ ? -1 : static_cast<int>(kGlance.count()));
    std::size_t place = 2;
    for (Client& client : clients_) {
      if (readable(polled[place++])) {
        read_from(client);
      }
    }
    clients_.remove_if([](const Client& client) { return client.gone; });
    if (readable(polled[0])) {
      accept();
    }
    if (!complete_ && missing().empty()) {
      welcome_all();
    }
    if (!complete_ && std::chrono::steady_clock::now() > deadline) {
      give_up();
    }
    answer_waiting();
  }
}

void RendezvousServer::accept() {
  try {
    Socket socket = accept_at(listener_);
    if (socket) {
      const std::string peer = socket.peer_address();
      const std::string own = socket.own_address();
      clients_.push_back({std::move(socket), peer, own});
    }
  } catch (const Error&) {  // it has gone again
  }
}

void RendezvousServer::read_from(Client& client) {
  try {
    const std::string bytes = client.socket.receive_some();
    client.gone = bytes.empty();
    client.received += bytes;
    for (Message message; !client.gone && take_message(client.received, message);) {
      take(client, message);
    }
  } catch (const Error&) {  // nobody of ours, or one that broke off: the others need not know
    client.gone = true;
  }
}

void RendezvousServer::take(Client& client, const Message& message) {
  if (message.kind == kHello) {
    greet(client, message);
  } else if (message.kind == kSet) {
    values_[message.key] = message.value;
    answer(client, kAnswer, "");
  } else if (message.kind == kGet) {
    client.wanted = message.key;
  } else {
    client.gone = true;
  }
}

void RendezvousServer::greet(Client& client, const Message& message) {
  const int rank = std::atoi(message.key.c_str());
  const bool taken = std::any_of(clients_.begin(), clients_.end(), [&](const Client& c) { return c.rank == rank; });
  if (message.value != std::to_string(rank_.size)) {
    answer(client, kRefusal,
           str("rank ", rank, " was told that there are ", message.value, " ranks, rank 0 ", rank_.size));
  } else if (complete_) {
    answer(client, kFull,
           str("a group of ", rank_.size, " ranks is together there, and has a rank ", rank, " already"));
  } else if (rank < 0 || rank >= rank_.size || taken) {
    answer(client, kRefusal, str("more than one process says that it is rank ", rank, " of ", rank_.size));
  } else if (given_up_) {
    answer(client, kRefusal, str("rank ", rank, " came too late: the others waited for ", seconds_text(timeout_)));
  } else {
    client.rank = rank;
  }
}

std::vector<int> RendezvousServer::missing() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < rank_.size; ++rank) {
    if (std::none_of(clients_.begin(), clients_.end(), [&](const Client& c) { return c.rank == rank && !c.gone; })) {
      ranks.push_back(rank);
    }
  }
  return ranks;
}

// A rank on rank 0's machine came through the loopback interface, perhaps, where those on other machines do not reach
// it: they reach it where they reached rank 0.
void RendezvousServer::welcome_all() {
  std::string outside;
  for (const Client& client : clients_) {
    if (client.rank >= 0 && !is_loopback(client.peer)) {
      outside = client.own;
    }
  }
  complete_ = true;
  for (Client& client : clients_) {
    if (client.rank >= 0) {
      answer(client, kAnswer, is_loopback(client.peer) && !outside.empty() ? outside : client.peer);
    }
  }
}

void RendezvousServer::give_up() {
  const std::string sentence = str(ranks_text(missing()), " of ", rank_.size, " did not come to ", rank_.master_addr,
                                   ":", rank_.master_port, " within ", seconds_text(timeout_));
  for (Client& client : clients_) {
    if (client.rank >= 0 && !given_up_) {
      answer(client, kRefusal, sentence);
    }
  }
  given_up_ = true;
}

void RendezvousServer::answer_waiting() {
  for (Client& client : clients_) {
    const auto value = values_.find(client.wanted);
    if (!client.wanted.empty() && value != values_.end()) {
      client.wanted.clear();
      answer(client, kAnswer, value->second);
    }
  }
}

void RendezvousServer::answer(Client& client, std::uint8_t kind, const std::string& value) {
  try {
    client.socket.send(encoded({kind, "", value}), std::chrono::steady_clock::now() + kAnswerTime);
  } catch (const Error&) {
    client.gone = true;
  }
}

}  // namespace earmark
