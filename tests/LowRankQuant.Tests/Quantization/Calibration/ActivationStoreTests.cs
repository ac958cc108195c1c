using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Quantization.Calibration;

public sealed class ActivationStoreTests
{
    private const int Windows = 2, Rows = 3, Columns = 4, Bytes = Windows * Rows * Columns * sizeof(float);

    [Fact]
    public void ItsMemoryIsGivenBackOnce()
    {
        using var folder = new TemporaryFolder();
        var budget = new MemoryBudget(Bytes);
        var first = new ActivationStore(Windows, Rows, Columns, budget, folder.Path);
        Assert.False(first.OnDisk);
        first.Dispose();
        first.Dispose();
        using var second = new ActivationStore(Windows, Rows, Columns, budget, folder.Path);
        Assert.False(second.OnDisk);
        // A budget that had been given back twice would have room for another.
        using var third = new ActivationStore(Windows, Rows, Columns, budget, folder.Path);
        Assert.True(third.OnDisk);
        first.Dispose();
        Assert.False(budget.TryReserve(1));
    }

    [Fact]
    public void AFileGoesWithItsStore()
    {
        using var folder = new TemporaryFolder();
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var store = new ActivationStore(Windows, Rows, Columns, new MemoryBudget(0), folder.Path);
        using Tensor values = device.From([.. Enumerable.Range(0, Rows * Columns).Select(i => (float)i)], Rows, Columns), back = device.Zeros(Rows, Columns);
        store.Write(1, values);
        store.Read(1, back);
        Assert.Equal(values.ToArray(), back.ToArray());
        store.Dispose();
        store.Dispose();
        Assert.Empty(Directory.EnumerateFiles(folder.Path));
    }
}
