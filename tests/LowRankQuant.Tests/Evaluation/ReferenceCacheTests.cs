using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Hidden states of a reference on disk: what is read instead of computed, under which names, and what is refused.</summary>
public sealed class ReferenceCacheTests : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly TemporaryFolder _folder = new();
    private readonly CausalModel _model, _reference;
    private readonly List<string> _blockReads = [];
    private readonly TextWindow[] _windows = [new(Ids(100, 1)), new(Ids(60, 2), FirstNew: 5), new(Ids(7, 3))];

    public ReferenceCacheTests()
    {
        _model = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), AlteredCheckpoint.CutToFourBits), _device);
        _reference = new CausalModel(new AlteredCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), (name, _) =>
        {
            if (name.StartsWith("model.layers.", StringComparison.Ordinal)) _blockReads.Add(name);
        }), _device);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Cache => _folder.File("cache");

    private string[] Files => Directory.Exists(Cache) ? [.. Directory.GetFiles(Cache).Order(StringComparer.Ordinal)] : [];

    public void Dispose()
    {
        _model.Dispose();
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void ASecondMeasurementLoadsNoBlockOfTheReference()
    {
        List<WindowScore> without = Scores(null, _reference, _windows), first = Scores(Kept(0, 3), _reference, _windows);
        Assert.NotEmpty(_blockReads);
        string file = Assert.Single(Files);
        Assert.Equal(ReferenceFile.Size(_windows.Select(window => window.Ids.Length), _reference.Config.HiddenSize), new FileInfo(file).Length);
        _blockReads.Clear();
        List<WindowScore> second = Scores(Kept(3, 0), _reference, _windows), streamed = Scores(Kept(3, 0), _reference, _windows, MemorySharing.Streamed, 1000);
        List<WindowScore> inTurn = Scores(Kept(3, 0), _reference, _windows, MemorySharing.InTurn);
        Assert.Empty(_blockReads);
        foreach (List<WindowScore> scores in new[] { first, second, streamed, inTurn }) PairMemoryTests.AssertSame(without, scores);
        // What is scored of a window says nothing about its states, and another model takes the same ones.
        Scores(Kept(3, 0), _reference, [.. _windows.Select(window => new TextWindow(window.Ids, FirstNew: 2))]);
        using var itself = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), _device);
        Assert.All(Scores(Kept(3, 0), _reference, _windows, model: itself).SelectMany(score => score.Divergences!), value => Assert.Equal(0, value, 1e-9));
        Assert.Empty(_blockReads);
        Assert.Equal([file], Files);
    }

    [Fact]
    public void AnotherReferenceOrTextHasAnotherName()
    {
        Scores(Kept(0, 3), _reference, _windows);
        string own = Assert.Single(Files);
        string copy = DemoCopy.Create(_folder, "edited");
        using (FileStream stream = File.Open(Path.Combine(copy, "model.safetensors"), FileMode.Open))
        {
            stream.Position = stream.Length - 3;
            int last = stream.ReadByte();
            stream.Position--;
            stream.WriteByte((byte)(last ^ 1));
        }
        using (var edited = new CausalModel(HuggingFaceCheckpoint.Open(copy), _device)) Scores(Kept(0, 3), edited, _windows);
        Scores(Kept(0, 2), _reference, _windows[..2]);
        Scores(Kept(0, 3), _reference, [_windows[1], _windows[0], _windows[2]]);
        // The same tokens in other windows.
        int[] all = [.. _windows.SelectMany(window => window.Ids)];
        Scores(Kept(0, 3), _reference, [new(all[..99]), new(all[99..160]), new(all[160..])]);
        Assert.Equal(5, Files.Length);
        Scores(Kept(3, 0), _reference, _windows);
        File.Delete(own);
        Scores(Kept(0, 3), _reference, _windows);
        Assert.Equal(5, Files.Length);
    }

    [Fact]
    public void WhatComputesIsPartOfTheName()
    {
        byte[] hash = ReferenceCache.HashOf(_reference);
        Assert.Equal(hash, ReferenceCache.HashOf(_reference));
        using var scalar = new CpuDevice(new CpuDeviceOptions { Kernels = CpuKernelKind.Scalar });
        using var other = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), scalar);
        Assert.NotEqual(hash, ReferenceCache.HashOf(other));
        using var threads = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using var same = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), threads);
        Assert.Equal(hash, ReferenceCache.HashOf(same));
        using (threads.With(Precision.BFloat16)) Assert.NotEqual(hash, ReferenceCache.HashOf(same));
        same.RunsQuantizers = true;
        Assert.NotEqual(hash, ReferenceCache.HashOf(same));
    }

    [Theory]
    [InlineData("cut", "bytes in place of")]
    [InlineData("longer", "bytes in place of")]
    [InlineData("foreign", "its head is not that of these states")]
    [InlineData("flipped", "the states of its window 1 are not what was written (SHA-256)")]
    public void UnsoundFilesAreNamed(string what, string message)
    {
        Scores(Kept(0, 3), _reference, _windows);
        string file = Assert.Single(Files);
        byte[] bytes = File.ReadAllBytes(file);
        int columns = _reference.Config.HiddenSize, second = 48 + (100 * columns * 4) + 32;
        if (what == "foreign")
        {
            // The file of other windows of these lengths, under the name of these.
            Scores(Kept(0, 3), _reference, [new(Ids(100, 7)), new(Ids(60, 8)), new(Ids(7, 9))]);
            bytes = File.ReadAllBytes(Files.Single(other => other != file));
        }
        else if (what == "flipped") bytes[second + 9] ^= 1;
        else if (what == "cut") bytes = bytes[..^1];
        else bytes = [.. bytes, 0];
        File.WriteAllBytes(file, bytes);
        string told = Assert.Throws<EvaluationException>(() => Scores(null, _reference, _windows, cache: new ReferenceCache(Cache))).Message;
        Assert.Contains($"`reference_cache`: '{file}' cannot be used", told, StringComparison.Ordinal);
        Assert.Contains(message, told, StringComparison.Ordinal);
        File.Delete(file);
        Scores(Kept(0, 3), _reference, _windows);
    }

    [Fact]
    public void WhatCannotBeWrittenIsTold()
    {
        File.WriteAllText(Cache, "");
        Assert.Contains($"`reference_cache` {Cache} cannot be written", Assert.Throws<EvaluationException>(() => Scores(null, _reference, _windows, cache: new ReferenceCache(Cache))).Message, StringComparison.Ordinal);
        File.Delete(Cache);
        if (!File.Exists("/dev/full")) return;
        Directory.CreateDirectory(Cache);
        var cache = new ReferenceCache(Cache);
        string path = cache.PathOf(ReferenceCache.HashOf(ReferenceCache.HashOf(_reference), [.. _windows.Select(window => window.Ids)]));
        File.CreateSymbolicLink(AtomicFile.PartialOf(path), "/dev/full");
        Assert.Contains("cannot be written", Assert.Throws<EvaluationException>(() => Scores(null, _reference, _windows, cache: cache)).Message, StringComparison.Ordinal);
        Assert.Empty(Files);
    }

    [Fact]
    public void WhatAnotherProcessWritesIsLeftToIt()
    {
        List<WindowScore> expected = Scores(null, _reference, _windows);
        var cache = new ReferenceCache(Cache);
        string path = cache.PathOf(ReferenceCache.HashOf(ReferenceCache.HashOf(_reference), [.. _windows.Select(window => window.Ids)]));
        using (OutputLock.TakePlace(path)) PairMemoryTests.AssertSame(expected, Scores(null, _reference, _windows, cache: cache));
        Assert.Equal((0, 0, 3), (cache.WindowsRead, cache.WindowsKept, cache.WindowsLeft));
        Assert.Empty(Files);
    }

    // 64 windows of 512 fill a part: however many windows are asked for, and however they are divided into turns, the parts are the same.
    [Fact]
    public void LongTextsAreKeptInParts()
    {
        int[][] windows = [.. Enumerable.Range(0, 70).Select(i => Ids(512, i))];
        var computed = new Numbers(_reference.Config.HiddenSize);
        using var runner = new ModelRunner(_reference);
        Assert.Equal(70, Take(windows));
        Assert.Equal(2, Files.Length);
        Assert.Equal(0, Take(windows));
        Assert.Equal(0, Take(windows[..64]));
        Assert.Equal(0, Take(windows[64..]));
        Assert.Equal(10, Take([.. windows[..64], .. windows[..10]]));
        Assert.Equal(3, Files.Length);
        // A part that is gone is computed by itself.
        string first = Files.MaxBy(file => new FileInfo(file).Length)!;
        File.Delete(first);
        Assert.Equal(64, Take(windows));
        Assert.True(File.Exists(first));

        int Take(int[][] asked)
        {
            computed.Windows = 0;
            using Tensor x = _device.Empty(512, _reference.Config.HiddenSize);
            using ITurnStates turn = new CachedStates(new ReferenceCache(Cache), runner, computed).Of(0, asked, null, Token);
            for (int i = 0; i < asked.Length; i++)
            {
                turn.Read(i, x);
                Assert.Equal(asked[i][0], x.ToArray()[^1]);
            }
            return computed.Windows;
        }
    }

    [Fact]
    public void StatesOfOtherWeightsAreNotTakenForTheFiles()
    {
        using var runner = new ModelRunner(_reference, loadBlock: _reference.LoadBlock);
        Assert.Throws<ArgumentException>(() => new CachedStates(new ReferenceCache(Cache), runner, new Numbers(1)));
    }

    private static (int Read, int Kept)? Kept(int read, int kept) => (read, kept);

    private List<WindowScore> Scores(
        (int Read, int Kept)? expected, CausalModel reference, TextWindow[] windows, MemorySharing sharing = MemorySharing.Together, long? memory = null, CausalModel? model = null,
        ReferenceCache? cache = null)
    {
        if (expected is not null) cache = new ReferenceCache(Cache);
        var options = new ModelRunnerOptions { MemoryBytes = memory };
        using ModelRunner own = new(model ?? _model, options), other = new(reference, options);
        var scores = new List<WindowScore>();
        new Evaluator(own, other) { WindowScored = scores.Add }.Evaluate(windows, new EvaluationOptions { ReferenceCache = cache, Sharing = sharing }, cancellation: Token);
        if (expected is { } counts) Assert.Equal(counts, (cache!.WindowsRead, cache.WindowsKept));
        return scores;
    }

    private static int[] Ids(int length, int seed) => [.. Enumerable.Range(0, length).Select(i => ((i * 37) + (seed * 101) + 11) % 2000)];

    /// <summary>States that say which window they are of.</summary>
    private sealed class Numbers(int columns) : IReferenceStates
    {
        public int Windows { get; set; }

        public ITurnStates Of(int first, IReadOnlyList<int[]> windows, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
        {
            Windows += windows.Count;
            return new Turn(windows, columns);
        }

        private sealed class Turn(IReadOnlyList<int[]> windows, int columns) : ITurnStates
        {
            public void Read(int window, Tensor destination) => destination.CopyFrom([.. Enumerable.Repeat((float)windows[window][0], windows[window].Length * columns)]);

            public void Dispose()
            {
                // Nothing is held.
            }
        }
    }
}
