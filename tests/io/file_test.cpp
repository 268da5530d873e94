// SPDX-License-Identifier: Apache-2.0
#include "io/file.hpp"

#include "base/error.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

TEST(File, ReplacesAWholeFileAndLeavesNothingBeside) {
  const ScratchFolder folder;
  write_file_atomically(folder / "a", "first");
  write_file_atomically(folder / "a", "second");
  EXPECT_EQ(read_file(folder / "a"), "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(File, WhatAKilledWriterLeftBesideIsNoObstacle) {
  const ScratchFolder folder;
  put_bytes(folder / "a", "old");
  put_bytes(folder / "a.new", "half writ");
  write_file_atomically(folder / "a", "whole");
  EXPECT_EQ(read_file(folder / "a"), "whole");
  EXPECT_FALSE(std::filesystem::exists(folder / "a.new"));
}

TEST(File, AMissingFileIsNamed) {
  const ScratchFolder folder;
  const std::string message = message_of<SystemError>([&] { read_file(folder / "absent"); });
  EXPECT_TRUE(contains(message, (folder / "absent").string())) << message;
  EXPECT_TRUE(contains(message, "No such file")) << message;
}

TEST(File, ReadingBehindTheEndIsADataError) {
  const ScratchFolder folder;
  put_bytes(folder / "a", "0123456789");
  const CheckedFile file = CheckedFile::open_read(folder / "a");
  char out[8] = {};
  file.read_at(2, out, 8);
  EXPECT_EQ(std::string(out, 8), "23456789");
  EXPECT_THROW(file.read_at(3, out, 8), DataError);
}

TEST(File, AFileLargerThanMakesSenseIsNotRead) {
  const ScratchFolder folder;
  put_bytes(folder / "a", "0123456789");
  EXPECT_THROW(read_file(folder / "a", 9), DataError);
}

TEST(File, NeedOfMoreThanTheDiskHoldsIsToldInBytes) {
  const ScratchFolder folder;
  const std::int64_t needed = free_bytes(folder.path()) + (std::int64_t{1} << 40);
  const std::string message =
      message_of<SystemError>([&] { require_free_space(folder / "not-yet/a", needed); });
  EXPECT_TRUE(contains(message, std::to_string(needed) + " bytes needed")) << message;
  EXPECT_NO_THROW(require_free_space(folder / "a", 1));
}

}  // namespace
}  // namespace polyphase
