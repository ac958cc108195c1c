using LowRankQuant.Numerics;

namespace LowRankQuant.Tests.Kernels;

public class WorkerPoolTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public void ManyShortRunsEachEndWhenTheirChunksHaveEnded(int threads)
    {
        using var pool = new WorkerPool(threads);
        var seen = new int[7];
        for (int run = 1; run <= 5_000; run++)
        {
            int expected = run;
            pool.Run(1 + (run % 7), chunk => Volatile.Write(ref seen[chunk], expected));
            for (int chunk = 0; chunk <= run % 7; chunk++) Assert.Equal(run, Volatile.Read(ref seen[chunk]));
        }
    }

    [Fact]
    public void TheFirstFailureOfAChunkReachesTheCaller()
    {
        using var pool = new WorkerPool(3);
        for (int i = 0; i < 100; i++)
        {
            Assert.Throws<InvalidTimeZoneException>(() => pool.Run(10, chunk =>
            {
                if (chunk == 5) throw new InvalidTimeZoneException();
            }));
            int sum = 0;
            pool.Run(10, chunk => Interlocked.Add(ref sum, chunk));
            Assert.Equal(45, sum);
        }
    }

    [Fact]
    public void RunsWithinRunsAreDoneByTheThreadItself()
    {
        using var pool = new WorkerPool(2);
        int sum = 0;
        pool.Run(4, _ => pool.Run(5, chunk => Interlocked.Add(ref sum, chunk)));
        Assert.Equal(40, sum);
    }
}
