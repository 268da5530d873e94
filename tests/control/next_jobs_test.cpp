// SPDX-License-Identifier: Apache-2.0
#include "control/next_jobs.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/error.hpp"
#include "control/slurm_jobs.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// The script is run by bash, with an sbatch and a squeue that write down what they are asked.
class NextJobs : public testing::Test {
 protected:
  NextJobs() : run_(fs::temp_directory_path() / fmt::format("polyphase-next jobs-{}", getpid())) {
    fs::create_directories(run_ / "slurm");
    program("sbatch",
            "n=$(cat number 2>/dev/null || echo 70); n=$((n + 1)); echo $n >number\n"
            "echo \"$*\" >>asked; env | grep -E '^(SLURM|POLYPHASE_OUTCOME)' >>seen\n"
            "test -e refuses && exit 1\necho \"$n;cluster\"\n");
    program("squeue", "test -e forgets || echo 1\n");
  }
  ~NextJobs() override { fs::remove_all(run_); }

  void program(const std::string& name, const std::string& text) {
    std::ofstream(run_ / name) << "#!/bin/bash\ncd \"$(dirname \"$0\")\"\n" << text;
    fs::permissions(run_ / name, fs::perms::owner_all);
  }
  // The exit status of a job's script that ends well.
  int end_job(const std::string& variables) {
    const std::string command = fmt::format(
        "cd '{0}' && env {1} SLURM_CONF=c SLURM_RESTART_COUNT=2 POLYPHASE_OUTCOME=o "
        "PATH='{0}':$PATH "
        "bash -c 'source slurm/next.sh' >/dev/null",
        run_.string(), variables);
    return std::system(command.c_str());
  }
  std::string asked() const {
    return fs::exists(run_ / "asked") ? read_file(run_ / "asked") : std::string();
  }
  std::string script(const char* name) const { return (run_ / "slurm" / name).string(); }

  fs::path run_;
};

TEST_F(NextJobs, ArrayAndTheJobBehindItAreSubmittedAndNoted) {
  write_next_jobs(run_, {4, 6, 7});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked(),
            fmt::format("--parsable --dependency=afterok:12 --kill-on-invalid-dep=yes "
                        "--array=4,6,7 {}\n"
                        "--parsable --dependency=afterok:71 --kill-on-invalid-dep=yes {}\n",
                        script(kTrialScript), script(kRunScript)));
  const SlurmJobs jobs = read_slurm_jobs(run_);
  ASSERT_EQ(jobs.jobs.size(), 4U);
  EXPECT_EQ(jobs.ids(), (std::vector<std::string>{"71_4", "71_6", "71_7", "72"}));
  EXPECT_EQ(jobs.find("round 6")->after, "12");
  EXPECT_EQ(jobs.find("run")->after, "71");
  EXPECT_EQ(jobs.find("run")->script, script(kRunScript));
  EXPECT_EQ(read_file(run_ / "seen"), "SLURM_CONF=c\nSLURM_CONF=c\n")
      << "what a job is told of itself is not for others";
}

TEST_F(NextJobs, JobOfAnArrayIsFollowedByItself) {
  write_next_jobs(run_, {});
  ASSERT_EQ(end_job("SLURM_JOB_ID=13 SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=1"), 0);
  EXPECT_NE(asked().find("afterok:12_1 "), std::string::npos) << asked();
}

TEST_F(NextJobs, RequeuedJobSubmitsNothingTwice) {
  write_next_jobs(run_, {4, 5});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  const std::string once = asked();
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked(), once);
  std::ofstream(run_ / "forgets") << "";  // what it submitted is no longer in the queue
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_EQ(asked().size(), 2 * once.size());
}

TEST_F(NextJobs, RefusedJobIsAnErrorAndNothingFollowsIt) {
  write_next_jobs(run_, {4, 5});
  std::ofstream(run_ / "refuses") << "";
  EXPECT_NE(end_job("SLURM_JOB_ID=12"), 0);
  EXPECT_TRUE(read_slurm_jobs(run_).jobs.empty());
  EXPECT_EQ(asked().find(kRunScript), std::string::npos);
}

TEST_F(NextJobs, JobsOfBothListsAreToldOnce) {
  write_slurm_jobs(run_, {.runs = {}, .jobs = {{"run", "12", "a", "", "t"}}});
  write_next_jobs(run_, {});
  ASSERT_EQ(end_job("SLURM_JOB_ID=12"), 0);
  const SlurmJobs jobs = read_slurm_jobs(run_);
  write_slurm_jobs(run_, jobs);
  EXPECT_EQ(read_slurm_jobs(run_).ids(), (std::vector<std::string>{"12", "71"}));
}

TEST_F(NextJobs, RunThatWasNotSubmittedHasNoScripts) {
  EXPECT_THROW(require_scripts(run_), RecipeError);
  std::ofstream(run_ / "slurm" / kRunScript) << "";
  require_scripts(run_);
}

}  // namespace
}  // namespace polyphase
