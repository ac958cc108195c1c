using LowRankQuant.Numerics;

namespace LowRankQuant.Tests;

public class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void EveryChunkRunsOnceInManyShortJobs(int threads)
    {
        using var pool = new WorkerPool(threads);
        var counts = new int[7];
        for (int job = 0; job < 20000; job++) pool.Run(counts.Length, i => counts[i]++);
        Assert.All(counts, count => Assert.Equal(20000, count));
    }

    [Fact]
    public void TheFirstFailureComesBackAndThePoolLivesOn()
    {
        using var pool = new WorkerPool(3);
        Assert.Throws<InvalidOperationException>(() => pool.Run(100, i => throw new InvalidOperationException()));
        int sum = 0;
        pool.Run(10, i => Interlocked.Add(ref sum, i));
        Assert.Equal(45, sum);
    }

    [Fact]
    public void ACallFromWithinAChunkRunsThere()
    {
        using var pool = new WorkerPool(2);
        int sum = 0;
        pool.Run(4, _ => pool.Run(4, i => Interlocked.Add(ref sum, i)));
        Assert.Equal(24, sum);
    }
}
