// SPDX-License-Identifier: Apache-2.0
// A disk without room: nothing that was there before is touched, the error tells what is missing,
// and the process ends as usual. Each case runs in a child, so that a crash at its exit is seen.
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "base/error.hpp"
#include "checkpoint_fixture.hpp"
#include "io/hdf5_create.hpp"
#include "io/hdf5_template.hpp"
#include "io/metrics.hpp"
#include "io/shard.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

using testing_checkpoint::write_checkpoint;

constexpr int kRefusedWell = 17;

// Runs `act` in a child that ends by exit(3), with all that libraries do there. Returns its exit
// status, or -signal.
int status_of_child(const std::function<void()>& act) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 0;
    try {
      act();
    } catch (const SystemError& error) {
      const std::string words = error.what();
      std::fprintf(stderr, "%s\n", error.what());
      status = contains(words, "bytes needed") && contains(words, "bytes free") ? kRefusedWell : 2;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      status = 3;
    }
    ::exit(status == 0 && ::testing::Test::HasFailure() ? 4 : status);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return -1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void write_large_part(const std::filesystem::path& tmp, std::int64_t count) {
  const std::vector<float> data(static_cast<std::size_t>(count), 1.0F);
  const TensorPart part{"w", {count}, -1, 0, {count}, data.data()};
  write_checkpoint_part(tmp, 0, {&part, 1});
}

void write_large_shard(const std::filesystem::path& path) {
  ShardHeader header;
  header.vocab_size = 100;
  ShardWriter writer(path, header);
  const ShardText text{std::vector<std::int32_t>(100000, 7), {0, 100000}, {}, {}, 0};
  for (int i = 0; i < 100; ++i) writer.append(text);
  writer.finish();
}

void append_many(const std::filesystem::path& path) {
  MetricsWriter writer(path);
  for (std::int64_t step = 0; step < 1000000; ++step) {
    writer.append({{"kind", "step"}, {"step", step}, {"detail", std::string(1000, 'x')}});
  }
}

class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    mount_point_ = folder_ / "small";
    std::filesystem::create_directory(mount_point_);
    if (::mount("tmpfs", mount_point_.c_str(), "tmpfs", 0, "size=6m") != 0) {
      GTEST_SKIP() << "a small disk cannot be mounted here (that takes root)";
    }
    mounted_ = true;
    write_checkpoint(mount_point_ / "step-000001", 2, 0, 1);
  }
  void TearDown() override {
    if (!mounted_) return;
    EXPECT_EQ(verify_checkpoint(mount_point_ / "step-000001"), std::vector<std::string>());
    ::umount(mount_point_.c_str());
  }
  std::filesystem::path operator/(const std::string& name) const { return mount_point_ / name; }
  // Leaves `num_bytes` free.
  void fill(std::int64_t num_bytes) const {
    const std::int64_t rest =
        static_cast<std::int64_t>(std::filesystem::space(mount_point_).available) - num_bytes;
    put_bytes(*this / "filler", std::string(static_cast<std::size_t>(rest), 'x'));
  }

 private:
  ScratchFolder folder_;
  std::filesystem::path mount_point_;
  bool mounted_ = false;
};

TEST_F(FullDisk, ACheckpointWithoutRoomIsRefusedAndLeavesThePreviousOne) {
  EXPECT_EQ(status_of_child([&] { write_large_part(*this / "step-000002.tmp", 10000000); }),
            kRefusedWell);
  EXPECT_FALSE(std::filesystem::exists(*this / "step-000002.tmp/writer-0000.h5"));
}

TEST_F(FullDisk, ACheckpointOnADiskWithoutAByteIsRefused) {
  fill(0);
  EXPECT_EQ(status_of_child([&] { write_large_part(*this / "step-000002.tmp", 1000); }),
            kRefusedWell);
}

TEST_F(FullDisk, ACheckpointLikeTheOneBeforeItIsRefusedWithoutRoom) {
  const std::vector<float> data(500000, 1.0F);
  const TensorPart part{"w", {500000}, -1, 0, {500000}, data.data()};
  EXPECT_EQ(status_of_child([&] {
              CheckpointTemplates known;
              write_checkpoint_part(*this / "step-000002.tmp", 0, {&part, 1}, known);
              fill(1000000);
              write_checkpoint_part(*this / "step-000003.tmp", 0, {&part, 1}, known);
            }),
            kRefusedWell);
  EXPECT_TRUE(std::filesystem::exists(*this / "step-000002.tmp/writer-0000.h5"));
  EXPECT_FALSE(std::filesystem::exists(*this / "step-000003.tmp/writer-0000.h5"));
}

TEST_F(FullDisk, AShardWithoutRoomIsRefused) {
  EXPECT_EQ(status_of_child([&] { write_large_shard(*this / "s.h5"); }), kRefusedWell);
  EXPECT_FALSE(std::filesystem::exists(*this / "s.h5"));
  EXPECT_FALSE(std::filesystem::exists(*this / "s.h5.new"));
}

TEST_F(FullDisk, MetricsKeepTheirWholeLines) {
  EXPECT_EQ(status_of_child([&] { append_many(*this / "metrics.jsonl"); }), kRefusedWell);
  EXPECT_EQ(bytes_of(*this / "metrics.jsonl").back(), '\n');
  EXPECT_GT(read_metrics(*this / "metrics.jsonl").size(), 1000U);
}

// The same without root: a limit on the size of files stands for the end of the disk, after the
// look at free space.
void limit_file_size(rlim_t num_bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {num_bytes, num_bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(FileSizeLimit, ACheckpointThatHitsItIsRefusedWithoutACrash) {
  const ScratchFolder folder;
  for (const rlim_t limit : {rlim_t{0}, rlim_t{1000}, rlim_t{100000}, rlim_t{2000000}}) {
    EXPECT_EQ(status_of_child([&] {
                limit_file_size(limit);
                write_large_part(folder / "step-000001.tmp", 1000000);
              }),
              kRefusedWell)
        << limit;
    EXPECT_FALSE(std::filesystem::exists(folder / "step-000001.tmp/writer-0000.h5"));
  }
}

// Where blocks cannot be reserved, HDF5's own write or close is what fails.
TEST(FileSizeLimit, AWriteThatFailsInsideHdf5IsRefusedWithoutACrash) {
  const ScratchFolder folder;
  const std::vector<float> data(100000, 1.0F);
  const hdf5::NewFile layout{{{"a/w", hdf5::ElementType::kFloat32, {100000}}}, {}, {}};
  EXPECT_EQ(status_of_child([&] {
              hdf5::PreparedFile file(folder / "w.h5", layout);
              limit_file_size(100);
              file.write("a/w", 0, 100000, data.data());
            }),
            kRefusedWell);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(FileSizeLimit, ACloseThatFailsInsideHdf5IsSeenWithoutACrash) {
  const ScratchFolder folder;
  const std::vector<float> data(100000, 1.0F);
  const hdf5::NewFile layout{{{"a/w", hdf5::ElementType::kFloat32, {100000}}}, {}, {}};
  const auto act = [&] {
    hdf5::PreparedFile file(folder / "w.h5", layout);
    file.write("a/w", 0, 100000, data.data());
    limit_file_size(100);
    file.finish();
  };
  EXPECT_EQ(status_of_child([&] { EXPECT_THROW(act(), SystemError); }), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(FileSizeLimit, AFileFromATemplateThatHitsItIsRefused) {
  const ScratchFolder folder;
  const std::vector<float> data(100000, 1.0F);
  const void* const values[] = {data.data()};
  const hdf5::NewFile layout{{{"a/w", hdf5::ElementType::kFloat32, {100000}}}, {}, {}};
  for (const rlim_t limit : {rlim_t{0}, rlim_t{100}, rlim_t{200000}}) {
    EXPECT_EQ(status_of_child([&] {
                hdf5::PreparedFile file(folder / "w.h5", layout);
                file.write("a/w", 0, 100000, data.data());
                file.finish();
                const hdf5::FileTemplate known(folder / "w.h5", layout);
                std::filesystem::remove(folder / "w.h5");
                limit_file_size(limit);
                known.write(folder / "w.h5", values);
              }),
              kRefusedWell)
        << limit;
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
}

TEST(FileSizeLimit, AShardThatHitsItIsRefusedWithoutACrash) {
  const ScratchFolder folder;
  EXPECT_EQ(status_of_child([&] {
              limit_file_size(1 << 20);
              write_large_shard(folder / "s.h5");
            }),
            kRefusedWell);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace polyphase
