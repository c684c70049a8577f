// Exact search of one index by several ranks together. Each has a share of the rows, whole tracks, and compares it with
// the fingerprints that any of them asks about; what it finds goes to all, and the best of that are, to the last bit,
// what one process finds: a product of two rows depends on nothing but them, and the order is the same, higher score,
// then lower row. LSH is not shared out so: how many entries and candidates it looks at are limits over all rows.
//   a round   a thread of each rank brings what its rank asks by now, perhaps nothing; all gather these fingerprints,
//             search, gather what was found. Rounds go on until no rank has anything more to ask, so that a rank that
//             dies or hangs is seen by all within the communicator's time, whatever they do meanwhile. One that answers
//             but gives no sign of life (kernels/life_signs.h) hangs as well; a search it does for others is one.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/life_signs.h"
#include "search/database.h"
#include "search/exact.h"

namespace earmark::search {

class SharedSearch {
 public:
  /// For `k` neighbours of each fingerprint. All ranks have the same database, which must outlive this, and make the
  /// same SharedSearch; `ranks` is for it alone.
  SharedSearch(std::shared_ptr<Communicator> ranks, const Database& database, int k);
  /// Where finish() was not called, this rank has failed, and so do the others.
  ~SharedSearch();
  SharedSearch(const SharedSearch&) = delete;
  SharedSearch& operator=(const SharedSearch&) = delete;

  /// Begins the rounds. All ranks are ready to at about the same time.
  void start();
  /// As exact_search() of the whole database. From any thread, between start() and finish(). Throws Error where a rank
  /// has failed.
  Neighbours search(const Tensor& fingerprints);
  /// Throws Error where a rank has failed: nothing will be found any more.
  void check_ranks();
  /// This rank asks no more; returns when no rank does. Throws Error where one has failed.
  void finish();

 private:
  struct Request {
    Tensor fingerprints;  // (n, d)
    Neighbours found;
    bool done = false;
  };
  enum State { asking, finished, failed };

  void serve();
  bool round();
  std::vector<std::int64_t> exchanged(std::int64_t rows, State state);
  void end(State state);
  /// What this rank asks, row by row.
  Tensor packed(const std::vector<Request*>& requests, std::int64_t rows) const;
  Neighbours found_by_all(const Tensor& fingerprints) const;

  std::shared_ptr<Communicator> ranks_;
  const Database& database_;
  int k_;
  LifeWatch watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Request*> waiting_;
  State state_ = asking;
  bool ended_ = false;  // there will be no more rounds
  std::exception_ptr lost_;
  std::thread thread_;
};

}  // namespace earmark::search
