using System.Text.Json;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.Evaluation.Depth;

/// <summary>The report of the demo rounded to four bits, against a plain computation in double precision and against itself.</summary>
public sealed class DepthCollectorTests
{
    private static readonly ITokenizer Words = TokenizerJson.Load(Path.Combine(TestData.Demo, "tokenizer.json"));

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    // With the token that ends a text among them.
    private static int[] Ids { get; } = Words.Encode(File.ReadAllText(Path.Combine(TestData.Demo, "evaluation.txt"))[..6000], addSpecialTokens: false);

    private static IReadOnlyList<TextWindow> Windows => [new(Ids[..200]), new(Ids[200..260], FirstNew: 20), new(Ids[260..261].Concat(Ids[300..500]).ToArray())];

    [Fact]
    public void TheReportIsThatOfPlainFormulas()
    {
        using var device = new CpuDevice();
        using CausalModel model = Rounded(device), reference = Demo(device);
        EvaluationResult result = Evaluate(model, reference, new EvaluationOptions());
        DepthReport depth = result.Depth!;
        List<Position> all = [.. Plain(model, reference)];
        Assert.Equal(all.Count, depth.Divergence.Positions);
        Assert.Equal(all.Count, depth.Divergence.Bins.Sum());
        Assert.Equal(all.Max(position => position.Divergence), depth.Divergence.Largest, 1e-5);
        Assert.Equal(all.Average(position => position.Divergence), depth.ByConfidence.Sum(part => part.KlDivergence * part.Positions) / all.Count, 1e-6);
        Assert.Equal(result.KlDivergence!.Value, depth.ByConfidence.Sum(part => part.KlDivergence * part.Positions) / all.Count, 1e-9);
        Assert.Equal(result.Top1Agreement!.Value, depth.ByConfidence.Sum(part => part.Top1Agreement * part.Positions) / all.Count, 1e-12);
        foreach (ConfidenceClass part in depth.ByConfidence.Some())
        {
            Position[] own = [.. all.Where(position => position.Probability >= part.Low && (position.Probability < part.High || part.High == 1))];
            Assert.Equal(own.Length, part.Positions);
            Assert.Equal(own.Average(position => position.Divergence), part.KlDivergence, 1e-5);
            Assert.Equal(own.Average(position => position.Expected == position.Found ? 1.0 : 0), part.Top1Agreement, 1e-12);
        }
        Assert.Equal(all.Average(position => position.Margin), depth.Margin.Reference, 1e-4);
        Assert.Equal(all.Average(position => position.ModelMargin), depth.Margin.Model, 1e-4);
        Assert.Equal(depth.Margin.Model / depth.Margin.Reference, depth.Margin.Ratio, 1e-12);
        Assert.InRange(depth.Margin.Shrunk, 0.01, 0.9);
        Position[] flips = [.. all.Where(position => position.Expected != position.Found).OrderByDescending(position => position.Probability).Take(DepthOptions.Flips)];
        Assert.Equal(flips.Select(flip => (flip.Window, flip.Row)), depth.Flips.Select(flip => (flip.Window, flip.Position)));
        Assert.Equal(flips[0].Probability, depth.Flips[0].ExpectedProbability, 1e-5);
        Assert.Equal(flips[0].Divergence, depth.Flips[0].KlDivergence, 1e-5);
        Assert.All(depth.Flips, flip => Assert.NotEqual(flip.Expected, flip.Found));
        FormatTokens ends = Assert.Single(depth.Format);
        Assert.Equal(("end of text", all.Count(position => position.Next == Words.EosId)), (ends.Kind, (int)ends.Positions));
        Assert.Equal(all.Where(position => position.Next == Words.EosId).Average(position => position.Divergence), ends.KlDivergence, 1e-5);
        Assert.Empty(depth.Samples);
        Assert.Empty(depth.Modules);
    }

    [Fact]
    public void ThreadsAndBatchesDoNotChangeAByte()
    {
        string[] reports = [.. new[] { (1, 2048), (3, 2048), (2, 1) }.Select(setting =>
        {
            using var device = new CpuDevice(new CpuDeviceOptions { Threads = setting.Item1 });
            using CausalModel model = Rounded(device), reference = Demo(device);
            return JsonSerializer.Serialize(Evaluate(model, reference, new EvaluationOptions(), setting.Item2).Depth);
        })];
        Assert.Equal(reports[0], reports[1]);
        Assert.Equal(reports[0], reports[2]);
        // It is read back as it was.
        Assert.Equal(reports[0], JsonSerializer.Serialize(JsonSerializer.Deserialize<DepthReport>(reports[0])));
    }

    [Fact]
    public void OnlyComparedPositionsCount()
    {
        using var device = new CpuDevice();
        using CausalModel model = Rounded(device), reference = Demo(device);
        Assert.Equal(200 + 40 + 201, Evaluate(model, reference, new EvaluationOptions()).Depth!.Divergence.Positions);
        Assert.Equal(199 + 40 + 200, Evaluate(model, reference, new EvaluationOptions { Positions = ComparedPositions.Predicting }).Depth!.Divergence.Positions);
        using var runner = new ModelRunner(model);
        Assert.Throws<EvaluationException>(() => new Evaluator(runner) { Depth = new DepthCollector(new DepthOptions(), model, Words) }.Evaluate(Windows, cancellation: Token));
    }

    [Fact]
    public void BothModelsGoOnFromBeginningsOfWindows()
    {
        using var device = new CpuDevice();
        using CausalModel model = Rounded(device), reference = Demo(device);
        DepthWindow[] windows = [.. Windows.Select(window => new DepthWindow(window.Ids, 0, window.Ids.Length)), new DepthWindow(Ids[..6], 0, 6)];
        IReadOnlyList<SampleText> samples = SampleTexts.Of(model, null, reference, Words, windows, null, Token);
        Assert.Equal(4, samples.Count);
        Assert.Equal(Words.Decode(Ids.AsSpan(0, DepthOptions.PromptTokens), skipSpecialTokens: false), samples[0].Prompt);
        Assert.Equal(Words.Decode(Ids.AsSpan(0, 3), skipSpecialTokens: false), samples[3].Prompt);
        Assert.All(samples, sample => Assert.InRange(sample.Shared, 0, sample.Tokens));
        // The reference beside itself never parts.
        Assert.All(SampleTexts.Of(reference, null, reference, Words, windows, null, Token), same => Assert.Equal((same.Tokens, same.Reference), (same.Shared, same.Model)));
        string whole = TextGenerator.Generate(reference, Words, samples[0].Prompt, DepthOptions.SampleTokens, cancellation: Token);
        Assert.StartsWith(whole[^20..^10], samples[0].Reference[^20..], StringComparison.Ordinal);
    }

    internal static CausalModel Demo(CpuDevice device) => new(HuggingFaceCheckpoint.Open(TestData.Demo), device);

    internal static CausalModel Rounded(CpuDevice device, Func<string, bool>? only = null)
    {
        HuggingFaceCheckpoint demo = HuggingFaceCheckpoint.Open(TestData.Demo);
        return new CausalModel(new AlteredCheckpoint(demo, Alter), device);

        void Alter(string name, Span<float> values)
        {
            if (only?.Invoke(name) != false) AlteredCheckpoint.RoundRowsToFourBits(name, values, demo.ShapeOf(name)[^1]);
        }
    }

    private static EvaluationResult Evaluate(CausalModel model, CausalModel reference, EvaluationOptions options, int batch = 2048)
    {
        using ModelRunner own = new(model, new ModelRunnerOptions { BatchTokens = batch }), other = new(reference, new ModelRunnerOptions { BatchTokens = batch });
        return new Evaluator(own, other) { Depth = new DepthCollector(new DepthOptions(), model, Words) }.Evaluate(Windows, options, cancellation: Token);
    }

    private static IEnumerable<Position> Plain(CausalModel model, CausalModel reference)
    {
        IReadOnlyList<TextWindow> windows = Windows;
        float[][][] found = Logits(model), expected = Logits(reference);
        for (int w = 0; w < windows.Count; w++)
        {
            for (int row = windows[w].FirstNew; row < windows[w].Ids.Length; row++)
            {
                double[] p = LogSoftmax(expected[w][row]), q = LogSoftmax(found[w][row]);
                int[] order = [.. Enumerable.Range(0, p.Length).OrderByDescending(i => p[i])];
                yield return new Position(
                    w, row, Enumerable.Range(0, p.Length).Sum(i => Math.Exp(p[i]) * (p[i] - q[i])), order[0], Enumerable.Range(0, q.Length).MaxBy(i => q[i]), Math.Exp(p[order[0]]),
                    p[order[0]] - p[order[1]], q[order[0]] - q[order[1]], row + 1 < windows[w].Ids.Length ? windows[w].Ids[row + 1] : null);
            }
        }

        float[][][] Logits(CausalModel of)
        {
            using var runner = new ModelRunner(of);
            var logits = new List<float[][]>();
            runner.Run([.. windows.Select(window => window.Ids)], (_, hidden) =>
            {
                using var tape = new Tape(of.Device, recording: false);
                logits.Add([.. runner.Head.Logits(tape, new Variable(hidden)).Value.ToArray().Chunk(of.Config.VocabularySize)]);
            }, cancellation: Token);
            return [.. logits];
        }
    }

    private static double[] LogSoftmax(float[] logits)
    {
        double largest = logits.Max(), sum = largest + Math.Log(logits.Sum(value => Math.Exp(value - largest)));
        return [.. logits.Select(value => value - sum)];
    }

    private sealed record Position(int Window, int Row, double Divergence, int Expected, int Found, double Probability, double Margin, double ModelMargin, int? Next);
}
