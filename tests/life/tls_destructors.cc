/* SPDX-License-Identifier: MIT */
/* thread_local objects whose constructors and destructors allocate and free, in many threads and in main. */
#include <memory>
#include <string>
#include <vector>

#include "threads.h"

namespace
{

struct holder {
    std::vector<std::unique_ptr<std::string>> texts;
    holder()
    {
        for (std::size_t i = 0; i < 100; i++)
            texts.push_back(std::make_unique<std::string>(i * 10, 'h'));
    }
    ~holder()
    {
        use_every_size();
        for (std::size_t i = 0; i < texts.size(); i++)
            CHECK(*texts[i] == std::string(i * 10, 'h'), "text %zu changed", i);
        texts.push_back(std::make_unique<std::string>(5000, 'l'));
    }
};

thread_local holder mine;

void *work(void *)
{
    CHECK(mine.texts.size() == 100, "thread_local not set up");
    return nullptr;
}

} /* namespace */

int main()
{
    work(nullptr);
    for (int round = 0; round < 30; round++)
        CHECK(run_threads(8, work) == 0, "round %d", round);
    return 0;
}
