// Where ranks meet, and something is wrong: a wrong address, a taken port, somebody else, one who comes too late. Each
// is a sentence that names what, in time.
#include "kernels/rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "kernels/socket.h"
#include "tests/ranks.h"
#include "tests/test_support.h"

namespace earmark {
namespace {

using earmark::testing::error_of;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// What a rank throws that comes to `host`:`port`, and waits for `timeout`; "no error": nothing.
std::string problem_at(const std::string& host, int port, int rank, int size, milliseconds timeout) {
  Rank own = local_rank(rank, size, port);
  own.master_addr = host;
  return error_of([&] { make_communicator(own, timeout); });
}

/// Somebody else's program at a port: says `greeting` to who connects, and closes, or keeps the connection open.
class Stranger {
 public:
  Stranger(std::string greeting, bool closes)
      : greeting_(std::move(greeting)),
        closes_(closes),
        listener_(listen_at("127.0.0.1", port_)),
        thread_([this] { serve(); }) {}
  ~Stranger() {
    ended_ = true;
    try {  // it waits for somebody
      connect_to("127.0.0.1", port_, std::chrono::steady_clock::now() + std::chrono::seconds(5));
    } catch (const Error&) {
    }
    thread_.join();
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  int port() const { return port_; }

 private:
  void serve() {
    while (!ended_) {
      Socket socket = accept_at(listener_);
      if (socket && !greeting_.empty()) {
        socket.send(greeting_, std::chrono::steady_clock::now() + std::chrono::seconds(5));
      }
      if (!closes_) {
        open_.push_back(std::move(socket));
      }
    }
  }

  const int port_ = free_port();
  const std::string greeting_;
  const bool closes_;
  std::atomic<bool> ended_{false};
  Socket listener_;
  std::vector<Socket> open_;
  std::thread thread_;
};

TEST(RendezvousFailure, ANameThatNobodyKnowsIsNamed) {
  // No name ends so (RFC 6761).
  EXPECT_THAT(problem_at("nobody.invalid", 29500, 1, 2, milliseconds(300)),
              HasSubstr("rank 0 of 2 did not come to nobody.invalid:29500 within 0.3 s ("));
}

TEST(RendezvousFailure, AnAddressWhereNobodyListensIsNamed) {
  const int port = free_port();
  EXPECT_THAT(problem_at("127.0.0.1", port, 1, 2, milliseconds(300)),
              HasSubstr(str("rank 0 of 2 did not come to 127.0.0.1:", port, " within 0.3 s (Connection refused)")));
}

TEST(RendezvousFailure, AnAddressThatIsNotRankZerosIsSaidByIt) {
  const int port = free_port();
  const std::string problem = problem_at("nobody.invalid", port, 0, 2, milliseconds(300));
  EXPECT_THAT(problem, AllOf(HasSubstr(str("rank 0 of 2 cannot be reached at nobody.invalid:", port)),
                             HasSubstr("is MASTER_ADDR an address of this machine?")));
}

TEST(RendezvousFailure, APortThatIsTakenIsNamed) {
  const Stranger stranger("", false);
  EXPECT_THAT(problem_at("127.0.0.1", stranger.port(), 0, 2, milliseconds(60000)),
              HasSubstr(str("rank 0 cannot listen at 127.0.0.1:", stranger.port(),
                            ": Address already in use; it needs another MASTER_PORT")));
}

TEST(RendezvousFailure, SomethingElseThatAnswersIsNoRankZero) {
  const Stranger ssh("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", false);
  // At once, whatever the time.
  EXPECT_THAT(problem_at("127.0.0.1", ssh.port(), 1, 2, milliseconds(600000)),
              HasSubstr(str("what listens at 127.0.0.1:", ssh.port(),
                            " does not answer as rank 0 of 2 does: what was received is no message of a rank")));
}

TEST(RendezvousFailure, SomethingElseThatIsSilentIsGivenUp) {
  const Stranger silent("", false);
  EXPECT_THAT(problem_at("127.0.0.1", silent.port(), 1, 2, milliseconds(200)),
              HasSubstr(str("what listens at 127.0.0.1:", silent.port(),
                            " does not answer as rank 0 of 2 does: no answer in time")));
}

TEST(RendezvousFailure, SomethingElseThatHangsUpIsGivenUp) {
  const Stranger hangs_up("", true);
  EXPECT_THAT(problem_at("127.0.0.1", hangs_up.port(), 1, 2, milliseconds(400)),
              AllOf(HasSubstr(str("rank 1 of 2 came to 127.0.0.1:", hangs_up.port(),
                                  ", but whoever answers there is no "
                                  "rank 0, or ends")),
                    HasSubstr("for 0.4 s")));
}

TEST(RendezvousFailure, WhoComesToACompleteGroupIsToldSo) {
  const int port = free_port();
  std::array<std::shared_ptr<Communicator>, 2> group;
  std::thread first([&] { group[0] = make_communicator(local_rank(0, 2, port), milliseconds(60000)); });
  group[1] = make_communicator(local_rank(1, 2, port), milliseconds(60000));
  first.join();
  EXPECT_EQ(problem_at("127.0.0.1", port, 1, 2, milliseconds(300)),
            str("rank 1 of 2 came to 127.0.0.1:", port,
                ", but a group of 2 ranks is together there, and has a rank 1 already, for 0.3 s"));
  EXPECT_THAT(problem_at("127.0.0.1", port, 0, 2, milliseconds(300)), HasSubstr("Address already in use"));
  std::thread other([&] { group[0]->barrier(); });  // and the group does not mind
  group[1]->barrier();
  other.join();
}

TEST(RendezvousFailure, WhoComesWhileAGroupEndsJoinsTheNextOne) {
  const int port = free_port();
  std::array<std::shared_ptr<Communicator>, 2> group;
  std::thread first([&] { group[0] = make_communicator(local_rank(0, 2, port), milliseconds(60000)); });
  group[1] = make_communicator(local_rank(1, 2, port), milliseconds(60000));
  first.join();
  std::string problem;
  std::thread early([&] { problem = problem_at("127.0.0.1", port, 1, 2, milliseconds(60000)); });
  std::this_thread::sleep_for(milliseconds(250));  // most likely it has been refused by then
  group = {};
  EXPECT_EQ(problem_at("127.0.0.1", port, 0, 2, milliseconds(60000)), "no error");
  early.join();
  EXPECT_EQ(problem, "no error");
}

TEST(RendezvousFailure, WhoComesWhenTheOthersHaveGivenUpIsTold) {
  const int port = free_port();
  EXPECT_THAT(problem_at("127.0.0.1", port, 0, 2, milliseconds(200)),
              HasSubstr(str("rank 1 of 2 did not come to 127.0.0.1:", port, " within 0.2 s")));
  EXPECT_THAT(problem_at("127.0.0.1", port, 1, 2, milliseconds(200)),
              HasSubstr(str("rank 0 of 2 did not come to 127.0.0.1:", port, " within 0.2 s")));
}

}  // namespace
}  // namespace earmark
