using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks.Scoring;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Trees, shared prefixes and batches change no number beyond rounding; threads, memory and a second session change none at all.</summary>
public sealed class LikelihoodScorerTests
{
    private static readonly int[] Shared = [.. Enumerable.Range(0, 50).Select(i => (i * 37) % 1000 + 3)];

    [Fact]
    public void EqualsOneForwardPassPerRequest()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using CausalModel model = ModelSource.Open(TestData.Demo, device);
        using var runner = new ModelRunner(model);
        ScoringUnit[] units = Units();
        TokenScore[][] scores = Score(model, units);
        for (int u = 0; u < units.Length; u++)
        {
            Assert.Equal(units[u].Requests.Count, scores[u].Length);
            for (int r = 0; r < scores[u].Length; r++)
            {
                (double expected, bool greedy) = Alone(runner, units[u].Requests[r]);
                Assert.Equal(expected, scores[u][r].LogLikelihood, 1e-4);
                Assert.Equal(greedy, scores[u][r].Greedy);
            }
        }
    }

    [Fact]
    public void TokensInCommonAreComputedOnce()
    {
        var tree = new TokenTree([Request([1, 2, 3], [4, 5, 6]), Request([1, 2, 3], [4, 7, 8]), Request([1, 2, 3], [9]), Request([1, 2, 3], [4, 5, 6])], 1);
        // 2 3 | 4 | 5 and 7; the last tokens are predicted only.
        Assert.Equal([2, 3, 4, 5, 7], tree.Tokens.ToArray());
        Assert.Equal([new TreeSegment(0, 2, 1), new TreeSegment(2, 1, 3), new TreeSegment(3, 1, 4), new TreeSegment(4, 1, 4)], tree.Segments);
        Assert.Equal(10, tree.Predictions.Count);
        Assert.Equal([4, 5, 6], tree.Predictions.Where(prediction => prediction.Request == 3).Select(prediction => prediction.Target));
        Assert.Equal([1, 2, 3], tree.Predictions.Where(prediction => prediction.Request == 3).Select(prediction => prediction.Row));
    }

    [Fact]
    public void EqualTokensGiveEqualBits()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using CausalModel model = ModelSource.Open(TestData.Demo, device);
        TokenScore[] scores = Score(model, [new ScoringUnit([Request(Shared, [9, 8]), Request(Shared, [7]), Request(Shared, [9, 8])], null)])[0];
        Assert.Equal(scores[0], scores[2]);
        Assert.NotEqual(scores[0], scores[1]);
    }

    [Theory]
    [InlineData(1, null)]
    [InlineData(3, null)]
    [InlineData(2, 1L)]
    public void ThreadsAndMemoryChangeNothing(int threads, long? memory)
    {
        TokenScore[][] expected = With(2, null), actual = With(threads, memory);
        Assert.Equal(expected, actual);

        static TokenScore[][] With(int threads, long? memory)
        {
            using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads });
            using CausalModel model = ModelSource.Open(TestData.Demo, device);
            return Score(model, Units(), new ModelRunnerOptions { MemoryBytes = memory, BatchTokens = 256 });
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(12)]
    public void ASecondSessionGivesTheSameBits(int done)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 2 });
        using CausalModel model = ModelSource.Open(TestData.Demo, device);
        var options = new ModelRunnerOptions { BatchTokens = 100 };
        TokenScore[][] whole = Score(model, Units(), options);
        using var runner = new ModelRunner(model, options);
        var rest = new List<TokenScore[]>();
        new LikelihoodScorer(runner).Score(
            Units(), done,
            (unit, scores) =>
            {
                Assert.Equal(done + rest.Count, unit);
                rest.Add(scores);
            },
            cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(whole[done..], rest);
    }

    /// <summary>Items of many shapes: alone and in groups, some that cannot be asked.</summary>
    private static ScoringUnit[] Units()
    {
        var units = new List<ScoringUnit>();
        for (int i = 0; i < 12; i++)
        {
            int[] context = [.. i < 6 ? Shared : [], .. Enumerable.Range(0, 5 + (i * 3)).Select(j => ((j + i) * 53) % 900 + 5)];
            TokenRequest[] requests = [.. Enumerable.Range(0, i % 4 + 1).Select(c => Request(context, [.. Enumerable.Range(0, c * 2 + 1).Select(j => (j * 17) + (c % 2))]))];
            units.Add(new ScoringUnit(i is 4 or 9 or 10 ? [] : requests, i < 6 ? "group" : null));
        }
        return [.. units];
    }

    private static TokenRequest Request(int[] context, int[] continuation) => TokenRequest.Fit(context, continuation, 512);

    private static TokenScore[][] Score(CausalModel model, IReadOnlyList<ScoringUnit> units, ModelRunnerOptions? options = null)
    {
        using var runner = new ModelRunner(model, options);
        var all = new List<TokenScore[]>();
        new LikelihoodScorer(runner).Score(units, 0, (_, scores) => all.Add(scores), cancellation: TestContext.Current.CancellationToken);
        return [.. all];
    }

    private static (double LogLikelihood, bool Greedy) Alone(ModelRunner runner, TokenRequest request)
    {
        double sum = 0;
        bool greedy = true;
        (int[] tokens, int scored) = request;
        runner.Run([tokens[..^1]], (_, hidden) =>
        {
            using var tape = new Tape(runner.Model.Device, recording: false);
            float[] logits = runner.Head.Logits(tape, new Variable(hidden)).Value.ToArray();
            int n = runner.Head.VocabularySize;
            for (int target = tokens.Length - scored; target < tokens.Length; target++)
            {
                float[] row = logits[((target - 1) * n)..(target * n)];
                double top = row.Max();
                sum += row[tokens[target]] - top - Math.Log(row.Sum(value => Math.Exp(value - top)));
                greedy &= Array.IndexOf(row, row.Max()) == tokens[target];
            }
        });
        return (sum, greedy);
    }
}
