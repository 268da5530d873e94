// SPDX-License-Identifier: Apache-2.0
#include "io/kept_outputs.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/io/scratch_folder.hpp"

namespace polyphase {
namespace {

class KeptOutputsFile : public testing::Test {
 protected:
  KeptOutputsFile() { write_kept_outputs(file_, outputs_, "teacher 1"); }
  std::string refusal(const std::string& made_of, std::int64_t num_samples = 3) const {
    return message_of<DataError>([&] { read_kept_outputs(file_, made_of, num_samples, 2); });
  }

  ScratchFolder scratch_;
  const std::filesystem::path file_ = scratch_ / "made/on/the/way.h5";
  const KeptOutputs outputs_ = {.num_outputs = 2,
                                .values = {1.5F, -2.0F, 0.0F, 3.25F, 1e-30F, 7.0F}};
};

TEST_F(KeptOutputsFile, ComesBackAndLeavesNothingBeside) {
  const KeptOutputs read = read_kept_outputs(file_, "teacher 1", 3, 2);
  EXPECT_EQ(read.values, outputs_.values);
  EXPECT_EQ(read.num_samples(), 3);
  write_kept_outputs(file_, outputs_, "teacher 2");  // replaces it
  EXPECT_EQ(read_kept_outputs(file_, "teacher 2", 3, 2).values, outputs_.values);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file_.parent_path()), {}), 1);
}

TEST_F(KeptOutputsFile, IsRefusedWhereItIsNotWhatIsWanted) {
  EXPECT_PRED2(contains, refusal("teacher 2"), "was made of teacher 1, not of teacher 2; remove");
  EXPECT_PRED2(contains, refusal("teacher 1", 4), "holds no table of 4 × 2 outputs");
  std::string bytes = bytes_of(file_);
  const std::string value("\x00\x00\x50\x40", 4);  // 3.25
  bytes[bytes.find(value)] ^= 1;
  put_bytes(file_, bytes);
  EXPECT_PRED2(contains, refusal("teacher 1"), "not those that its digest vouches for");
}

}  // namespace
}  // namespace polyphase
