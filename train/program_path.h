// Where a program is that a user names.
#pragma once

#include <filesystem>
#include <string>

namespace earmark::train {

/// With a slash it is a path. Without, it is looked for beside this program first, then in the folders of PATH, as a
/// shell does. Throws Error where it is not found or may not be executed.
std::filesystem::path program_path(const std::string& name);

}  // namespace earmark::train
