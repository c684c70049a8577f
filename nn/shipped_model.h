// The trained model that comes with the project, so that music can be indexed and searched at once (models/README.md).
#pragma once

#include <filesystem>

namespace earmark::nn {

/// The file that EARMARK_MODEL names, else models/best.safetensors where the programs were built from. Throws Error
/// naming the file when it is not there.
std::filesystem::path shipped_model();

}  // namespace earmark::nn
