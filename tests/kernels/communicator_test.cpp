#include "kernels/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "kernels/elementwise.h"
#include "kernels/error.h"
#include "kernels/rendezvous.h"
#include "kernels/shared_communicator.h"
#include "kernels/socket.h"
#include "tests/compare_tensors.h"
#include "tests/ranks.h"
#include "tests/test_support.h"

namespace earmark {
namespace {

using earmark::testing::same_bits;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

/// What rank `rank` brings: numbers of all bits, whose sums are rounded.
Tensor brought(int rank, std::int64_t count, DType dtype) {
  const Tensor t({count});
  auto bits = static_cast<std::uint32_t>(rank + 1) * 0x9e3779b9U;
  float* const values = t.mutable_data<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    bits = bits * 1664525U + 1013904223U;
    values[i] = static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-31F;
  }
  return dtype == DType::f32 ? t : t.to(dtype);
}

/// The sum or the mean of all ranks' numbers in the order of the ranks, in double.
Tensor combined(int size, std::int64_t count, DType dtype, Combine how) {
  const Tensor sum = Tensor::zeros({count}, DType::f64);
  for (int rank = 0; rank < size; ++rank) {
    const Tensor part = brought(rank, count, dtype).to(DType::f64);
    kernels::add(sum, part, sum);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    sum.mutable_data<double>()[i] /= how == Combine::mean ? size : 1;
  }
  return sum.to(dtype);
}

class CommunicatorOver : public ::testing::TestWithParam<const char*> {
 private:
  testing::EnvironmentScope transport_{"EARMARK_TRANSPORT", GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Kernels, CommunicatorOver, ::testing::Values("", "tcp"),
                         [](const auto& over) { return std::string(over.param).empty() ? "SharedMemory" : "Tcp"; });

TEST_P(CommunicatorOver, SumsAndMeansAreInTheOrderOfRanksAtAllOfThem) {
  for (const int size : {1, 2, 3, 4}) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        for (const std::int64_t count : {1, 3, 4097, 20011}) {
          for (const Combine how : {Combine::sum, Combine::mean}) {
            const Tensor t = brought(ranks->rank(), count, dtype);
            ranks->all_reduce(std::array{t}, how);
            EXPECT_TRUE(same_bits(t, combined(size, count, dtype, how))) << size << " ranks, " << count;
          }
        }
      }
    });
  }
}

/// The sum of what ranks [begin, end) bring, in pairs.
Tensor in_pairs(int begin, int end, std::int64_t count, DType dtype) {
  if (end == begin + 1) {
    return brought(begin, count, dtype);
  }
  const Tensor sum = in_pairs(begin, (begin + end) / 2, count, dtype);
  kernels::add(sum, in_pairs((begin + end) / 2, end, count, dtype), sum);
  return sum;
}

TEST_P(CommunicatorOver, SumsInPairsAreBranchesOfOneTree) {
  for (const int size : {1, 2, 4, 8}) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        for (const std::int64_t count : {1, 4097, 20011}) {
          const int share = 8 / size;
          const Tensor t = in_pairs(ranks->rank() * share, (ranks->rank() + 1) * share, count, dtype);
          ranks->all_reduce(std::array{t, t.clone()}, Combine::in_pairs);
          EXPECT_TRUE(same_bits(t, in_pairs(0, 8, count, dtype))) << size << " ranks, " << count;
        }
        const Tensor part({3}, dtype);
        ranks->reduce_scatter(brought(ranks->rank(), 3 * size, dtype), part, Combine::in_pairs);
        const std::int64_t first = 3 * ranks->rank();
        EXPECT_TRUE(same_bits(part, in_pairs(0, size, 3 * size, dtype).slice(first, first + 3).clone()));
      }
    });
  }
}

TEST_P(CommunicatorOver, ManyTensorsAtOnceAreReducedAsOneByOne) {
  run_as_ranks(3, [](const std::shared_ptr<Communicator>& ranks) {
    std::vector<Tensor> tensors;
    for (const std::int64_t count : {5, 70001, 1, 300}) {
      tensors.push_back(brought(ranks->rank(), count, DType::f32));
    }
    ranks->all_reduce(tensors, Combine::mean);
    for (const Tensor& t : tensors) {
      EXPECT_TRUE(same_bits(t, combined(3, t.numel(), DType::f32, Combine::mean))) << t.numel();
    }
  });
}

TEST_P(CommunicatorOver, MoreThanFitsAtOnceGoesInPieces) {
  run_as_ranks(3, [](const std::shared_ptr<Communicator>& ranks) {
    const int rank = ranks->rank();
    ranks->barrier();  // so that what is asked for first does not say how much there will be
    for (const std::int64_t count : {65537, 131100}) {
      const std::array tensors{brought(rank, count, DType::f32), brought(rank, 11, DType::f32)};
      ranks->all_reduce(tensors, Combine::mean);
      EXPECT_TRUE(same_bits(tensors[0], combined(3, count, DType::f32, Combine::mean)));
      EXPECT_TRUE(same_bits(tensors[1], combined(3, 11, DType::f32, Combine::mean)));
      const Tensor whole({3 * count});
      ranks->all_gather(brought(rank, count, DType::f32), whole);
      for (int other = 0; other < 3; ++other) {
        EXPECT_TRUE(same_bits(whole.slice(other * count, (other + 1) * count), brought(other, count, DType::f32)));
      }
      const Tensor part({count}, DType::f64);
      ranks->reduce_scatter(brought(rank, 3 * count, DType::f64), part, Combine::sum);
      const Tensor sums = combined(3, 3 * count, DType::f64, Combine::sum);
      EXPECT_TRUE(same_bits(part, sums.slice(rank * count, (rank + 1) * count)));
      const Tensor t = brought(rank, count, DType::f32);
      ranks->broadcast(t, 1);
      EXPECT_TRUE(same_bits(t, brought(1, count, DType::f32)));
    }
  });
}

TEST_P(CommunicatorOver, GathersScattersAndBroadcasts) {
  for (const int size : {1, 2, 4}) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      const int rank = ranks->rank();
      const Tensor whole({3 * size, 50}, DType::f32);
      ranks->all_gather(brought(rank, 150, DType::f32).reshape({3, 50}), whole);
      for (int other = 0; other < size; ++other) {
        EXPECT_TRUE(same_bits(whole.slice(3 * other, 3 * other + 3), brought(other, 150, DType::f32).reshape({3, 50})));
      }
      const Tensor part({2, 50}, DType::f64);
      ranks->reduce_scatter(brought(rank, 100 * size, DType::f64).reshape({2 * size, 50}), part, Combine::sum);
      const Tensor sums = combined(size, 100 * size, DType::f64, Combine::sum).reshape({2 * size, 50});
      EXPECT_TRUE(same_bits(part, sums.slice(2 * rank, 2 * rank + 2)));
      for (int root = 0; root < size; ++root) {
        const Tensor t = brought(rank, 7, DType::f32).to(DType::i16);
        ranks->broadcast(t, root);
        EXPECT_TRUE(same_bits(t, brought(root, 7, DType::f32).to(DType::i16)));
        std::array<double, 2> numbers{rank + 0.5, rank - 3.0};
        take_over(*ranks, numbers, root);
        EXPECT_EQ(numbers, (std::array<double, 2>{root + 0.5, root - 3.0}));
      }
      std::array<double, 1> sum{1.0 + rank};
      add_up(*ranks, sum);
      EXPECT_EQ(sum[0], size * (size + 1) / 2);
      ranks->barrier();
    });
  }
}

TEST_P(CommunicatorOver, AnotherOneServesAnotherThread) {
  run_as_ranks(3, [](const std::shared_ptr<Communicator>& ranks) {
    const std::shared_ptr<Communicator> other = ranks->another();
    const auto reduce = [](Communicator& by, std::int64_t count) {
      for (int i = 0; i < 20; ++i) {
        const Tensor t = brought(by.rank(), count, DType::f32);
        by.all_reduce(std::array{t}, Combine::sum);
        EXPECT_TRUE(same_bits(t, combined(3, count, DType::f32, Combine::sum)));
      }
    };
    std::thread beside([&] { reduce(*other, 9000); });
    reduce(*ranks, 300);
    beside.join();
  });
}

TEST_P(CommunicatorOver, WhatDoesNotFitIsRefused) {
  run_as_ranks(2, [](const std::shared_ptr<Communicator>& ranks) {
    EXPECT_THROW(ranks->all_reduce(std::array{Tensor({3}, DType::i16)}, Combine::sum), Error);
    EXPECT_THROW(ranks->all_reduce(std::array{Tensor({3}), Tensor({3}, DType::f64)}, Combine::sum), Error);
    EXPECT_THROW(ranks->all_gather(Tensor({3}), Tensor({5})), Error);
    EXPECT_THROW(ranks->reduce_scatter(Tensor({6}), Tensor({2}), Combine::sum), Error);
    EXPECT_THROW(ranks->broadcast(Tensor({6}), 2), Error);
    ranks->barrier();  // all of them are still there
  });
}

TEST_P(CommunicatorOver, SumsInPairsOfThreeRanksAreRefused) {
  const std::vector<std::string> problems = problems_of_threads(3, [](const std::shared_ptr<Communicator>& ranks) {
    ranks->all_reduce(std::array{Tensor::zeros({3})}, Combine::in_pairs);
  });
  EXPECT_THAT(problems, ::testing::Each(HasSubstr("those of a power of two of ranks, there are 3")));
}

bool through_shared_memory(const Communicator& ranks) {
  return dynamic_cast<const SharedCommunicator*>(&ranks) != nullptr;
}

TEST(Communicator, RanksOfOneMachineShareMemoryUnlessOneDoesNotWantTo) {
  const int port = free_port();
  const testing::EnvironmentScope shared("EARMARK_TRANSPORT", "");
  run_as_ranks(2, [](const std::shared_ptr<Communicator>& ranks) {
    EXPECT_TRUE(through_shared_memory(*ranks));
    EXPECT_TRUE(through_shared_memory(*ranks->another()));
    EXPECT_EQ(::earmark::through_shared_memory(ranks, ranks->rank() == 0), ranks);
  });
  const testing::EnvironmentScope tcp("EARMARK_TRANSPORT", "tcp");
  run_as_ranks(2, [](const std::shared_ptr<Communicator>& ranks) { EXPECT_FALSE(through_shared_memory(*ranks)); });
  const testing::EnvironmentScope unknown("EARMARK_TRANSPORT", "pigeon");
  EXPECT_THAT(testing::error_of([&] { make_communicator(local_rank(0, 2, port), milliseconds(100)); }),
              HasSubstr("EARMARK_TRANSPORT: expected tcp or nothing, got 'pigeon'"));
}

TEST(Communicator, WithoutRoomForSharedMemoryTcpDoes) {
  const testing::EnvironmentScope shared("EARMARK_TRANSPORT", "");
  const auto work = [](const std::shared_ptr<Communicator>& ranks) {
    check(through_shared_memory(*ranks), "there was no room at all");
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100000, 100000};
    check(ranks->rank() == 0 || ::setrlimit(RLIMIT_FSIZE, &limit) == 0, "no limit");
    const Tensor t = brought(ranks->rank(), 70001, DType::f32);
    ranks->all_reduce(std::array{t}, Combine::mean);
    check(same_bits(t, combined(2, 70001, DType::f32, Combine::mean)), "another mean");
    ranks->barrier();
    check(through_shared_memory(*ranks->another()), "the next one does not try");
  };
  EXPECT_THAT(problems_of_processes(2, work, milliseconds(30000)), ::testing::Each(""));
}

/// This process' files of shared memory.
std::set<std::string> shared_files() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().starts_with("earmark-" + std::to_string(::getpid()) + "-")) {
      names.insert(entry.path().filename().string());
    }
  }
  return names;
}

TEST(Communicator, SharedMemoryLeavesNothingBehind) {
  run_as_ranks(2, [&](const std::shared_ptr<Communicator>& ranks) {
    ranks->barrier();
    ranks->another()->barrier();
    ranks->barrier();  // both have their areas now
    EXPECT_THAT(shared_files(), ::testing::IsEmpty());
  });
}

TEST(Communicator, RanksThatDoNotComeAreNamed) {
  const int port = free_port();
  std::vector<std::string> problems(2);
  std::vector<std::thread> threads;
  for (const int rank : {0, 1}) {
    threads.emplace_back([&, rank] {
      try {
        make_communicator(local_rank(rank, 4, port), milliseconds(700));
      } catch (const Error& error) {
        problems[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::string sentence = "ranks 2 and 3 of 4 did not come to 127.0.0.1:" + std::to_string(port) + " within 0.7 s";
  EXPECT_THAT(problems[0], HasSubstr(sentence));
  EXPECT_THAT(problems[1], HasSubstr(sentence));
}

TEST(Communicator, AMissingRankZeroIsNamed) {
  const int port = free_port();
  try {
    make_communicator(local_rank(1, 2, port), milliseconds(200));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("rank 0 of 2 did not come to 127.0.0.1:" + std::to_string(port) + " within 0.2 s"));
    EXPECT_THAT(error.what(), HasSubstr("refused"));
  }
}

std::string problem_of_coming(const Rank& rank) {
  try {
    const Rendezvous here(rank, milliseconds(2000));
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Rendezvous, RanksThatContradictEachOtherAreToldSo) {
  const int port = free_port();
  std::thread first([&] { EXPECT_EQ(problem_of_coming(local_rank(0, 3, port)), ""); });
  EXPECT_THAT(problem_of_coming(local_rank(1, 2, port)), HasSubstr("rank 1 was told that there are 2 ranks, rank 0 3"));
  EXPECT_THAT(problem_of_coming(local_rank(3, 3, port)),
              HasSubstr("more than one process says that it is rank 3 of 3"));
  std::thread second([&] { EXPECT_EQ(problem_of_coming(local_rank(1, 3, port)), ""); });
  EXPECT_EQ(problem_of_coming(local_rank(2, 3, port)), "");
  first.join();
  second.join();
}

TEST(Rendezvous, KeepsWhatIsSaidAndLetsStrangersTalk) {
  const int port = free_port();
  const std::string large(100000, 'x');
  std::thread first([&] {
    Rendezvous here(local_rank(0, 2, port), milliseconds(5000));
    EXPECT_EQ(here.address(), "127.0.0.1");
    here.set("colour", "green");
    EXPECT_EQ(here.get("size"), large);
    here.set("end", "");
    EXPECT_EQ(here.get("end of 1"), "1");
  });
  const Socket stranger = connect_to("127.0.0.1", port, std::chrono::steady_clock::now() + std::chrono::seconds(5));
  stranger.send("GET / HTTP/1.1\r\n\r\n", std::chrono::steady_clock::now() + std::chrono::seconds(5));
  Rendezvous here(local_rank(1, 2, port), milliseconds(5000));
  EXPECT_EQ(here.get("colour"), "green");
  here.set("size", large);
  EXPECT_EQ(here.get("end"), "");
  here.set("end of 1", "1");
  first.join();
}

TEST_P(CommunicatorOver, AKilledRankEndsTheOthers) {
  const auto work = [](const std::shared_ptr<Communicator>& ranks) {
    ranks->barrier();
    if (ranks->rank() == 2) {
      ::raise(SIGKILL);
    }
    const Tensor t = brought(ranks->rank(), 100003, DType::f32);
    while (true) {
      ranks->all_reduce(std::array{t}, Combine::mean);
    }
  };
  const std::vector<std::string> problems = problems_of_processes(3, work, milliseconds(30000));
  EXPECT_EQ(problems[2], "killed by signal 9");
  EXPECT_THAT(problems[0], HasSubstr("of 3 has ended, or given up on another rank"));
  EXPECT_THAT(problems[1], HasSubstr("of 3 has ended, or given up on another rank"));
}

TEST_P(CommunicatorOver, AStoppedRankEndsTheOthersInTime) {
  const auto work = [](const std::shared_ptr<Communicator>& ranks) {
    ranks->barrier();
    if (ranks->rank() == 1) {
      ::raise(SIGSTOP);
    }
    ranks->barrier();
  };
  const auto end_stopped = [](const std::vector<int>& ids) {
    int status = 0;  // of a rank that has ended while the other is still stopped
    for (const int rank : {0, 2}) {
      siginfo_t info{};
      EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(ids[static_cast<std::size_t>(rank)]), &info, WEXITED | WNOWAIT), 0);
      status += info.si_status;
    }
    EXPECT_EQ(status, 0);
    ::kill(ids[1], SIGKILL);
  };
  const std::vector<std::string> problems = problems_of_processes(3, work, milliseconds(1500), end_stopped);
  const auto told = ::testing::AnyOf(HasSubstr("rank 1 of 3 did not answer rank"),
                                     HasSubstr("has ended, or given up on another rank"));
  EXPECT_THAT(problems[0], told);
  EXPECT_THAT(problems[2], told);
  EXPECT_THAT(problems[0] + problems[2], HasSubstr("rank 1 of 3 did not answer rank"));
  EXPECT_THAT(problems[0] + problems[2], HasSubstr("within 1.5 s"));
  EXPECT_EQ(problems[1], "killed by signal 9");
}

TEST_P(CommunicatorOver, ARankThatAbandonsEndsTheOthersAtOnce) {
  const std::vector<std::string> problems = problems_of_threads(
      3,
      [](const std::shared_ptr<Communicator>& ranks) {
        if (ranks->rank() == 0) {
          ranks->abandon();
          return;
        }
        ranks->barrier();
      },
      milliseconds(600000));
  EXPECT_EQ(problems[0], "");
  EXPECT_THAT(problems[1], HasSubstr("has ended, or given up"));
  EXPECT_THAT(problems[2], HasSubstr("has ended, or given up"));
  EXPECT_THAT(shared_files(), ::testing::IsEmpty()) << "of ranks that waited for the one that did not come";
}

}  // namespace
}  // namespace earmark
