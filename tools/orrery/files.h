// Reading and writing whole files, for the commands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"

namespace orrery::cli {

/// "-" is standard input. Errors: NotFound (no such file, or it may not be read), Invalid (a directory, or longer than
/// `max_bytes`), Io.
Result<Bytes> read_file(const std::string& path, size_t max_bytes = 1u << 30);
/// By a temporary file and a rename: all of it or nothing. Errors: Io, NoSpace.
Result<void> write_file(const std::string& path, ByteView content);
/// Appends with one write(2), so that several processes may share the file. Errors: Io, NoSpace.
Result<void> append_to_file(const std::string& path, ByteView content);
Result<void> make_directories(const std::string& path);
/// Removes a tree that we wrote; that it is not there is fine.
void remove_tree(const std::string& path);
bool is_directory(const std::string& path);
bool exists(const std::string& path);
/// The *.toml files of a directory, in order. Errors: NotFound, Io.
Result<std::vector<std::string>> toml_files(const std::string& directory);

}  // namespace orrery::cli
