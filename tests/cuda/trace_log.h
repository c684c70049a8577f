// What a profiler is told of ranges: NVTX calls whatever tool is linked into the program, and this is one.
#pragma once

#include <string>
#include <vector>

namespace earmark::testing {

/// While alive, notes the ranges that this thread opens and closes.
class TraceLog {
 public:
  TraceLog();
  ~TraceLog();
  TraceLog(const TraceLog&) = delete;
  TraceLog& operator=(const TraceLog&) = delete;

  /// Each range by its path, in the order in which they were opened: "train step/backward/block 1".
  const std::vector<std::string>& paths() const { return paths_; }
  /// Ranges that are open.
  std::size_t depth() const { return open_.size(); }

  void opened(const char* name);
  void closed();

 private:
  std::vector<std::string> open_;
  std::vector<std::string> paths_;
};

}  // namespace earmark::testing
