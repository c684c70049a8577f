#include "tests/cuda/trace_log.h"

// Types alone: this file calls nothing of NVTX, it is called.
#define NVTX_NO_IMPL
#include <nvtx3/nvToolsExt.h>

namespace earmark::testing {
namespace {

thread_local TraceLog* listening = nullptr;

int push(const char* name) {
  if (listening != nullptr) {
    listening->opened(name);
  }
  return 0;
}

int pop() {
  if (listening != nullptr) {
    listening->closed();
  }
  return 0;
}

/// Puts the functions above in the place of NVTX's own, which do nothing.
int inject(NvtxGetExportTableFunc_t tables) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(tables(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions = nullptr;
  unsigned int count = 0;
  if (callbacks == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &count) == 0 ||
      count <= NVTX_CBID_CORE_RangePop) {
    return 0;
  }
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  *functions[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}

}  // namespace

TraceLog::TraceLog() { listening = this; }
TraceLog::~TraceLog() { listening = nullptr; }

void TraceLog::opened(const char* name) {
  open_.emplace_back(open_.empty() ? name : open_.back() + "/" + name);
  paths_.push_back(open_.back());
}

void TraceLog::closed() {
  if (!open_.empty()) {
    open_.pop_back();
  }
}

}  // namespace earmark::testing

/// NVTX looks for this in the program.
extern "C" {
NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = earmark::testing::inject;
}
