using System.Globalization;
using System.Text.Json;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Tests.Quantization;

/// <summary>
/// Whole tiny models against the reference: full precision, round to nearest, and what LRQ and FlexRound make of them. Trained rows are compared as
/// distributions over seeds; rows that take long run when LRQ_LONG_TESTS is 1.
/// </summary>
public sealed class GoldenTinyModelTests(ITestOutputHelper output)
{
    private const string Stories656 = "tinystories-656k", Stories260 = "stories260K", BabyLlama = "babyllama-tok105";

    [Theory]
    [InlineData(Stories656)]
    [InlineData(Stories260)]
    [InlineData(BabyLlama)]
    public void FullPrecisionIsThatOfTheReference(string name)
    {
        using var lab = new TinyModelLab(name);
        float[] expected = GoldenBlockTests.Read<float>(lab.Golden, "eval_window_nll");
        int windows = 0;
        EvaluationResult measured = lab.MeasureFull(score =>
        {
            Assert.Equal(expected[score.Window], score.LossSum / score.Losses.Length, 1e-5);
            windows++;
        });
        Assert.Equal(expected.Length, windows);
        double perplexity = lab.Row("full").GetProperty("ppl").GetDouble();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: perplexity {measured.Perplexity:F4}, reference {perplexity:F4}"));
        Assert.Equal(perplexity, measured.Perplexity!.Value, 1e-5 * perplexity);
        CheckLogits(lab);
    }

    [Theory]
    [InlineData(Stories656)]
    [InlineData(Stories260)]
    [InlineData(BabyLlama)]
    public void RoundToNearestIsThatOfTheReference(string name)
    {
        using var lab = new TinyModelLab(name);
        foreach (int bits in new[] { 4, 3, 2 })
        {
            foreach (GridStart start in new[] { GridStart.MinMax, GridStart.Search })
            {
                EvaluationResult measured = lab.Quantize("rtn", bits, start);
                string key = $"rtn-{(start == GridStart.MinMax ? "minmax" : "search")}.b{bits}";
                (double perplexity, _, _) = Figure(lab.Row(key), "ppl");
                (double divergence, _, _) = Figure(lab.Row(key), "kl");
                Print(name, key, measured, perplexity, divergence);
                Assert.Equal(perplexity, measured.Perplexity!.Value, 1e-3 * perplexity);
                Assert.Equal(divergence, measured.KlDivergence!.Value, 1e-3 * divergence);
            }
        }
    }

    [Theory]
    [InlineData(Stories656, "lrq-r16.b3", 1)]
    [InlineData(Stories656, "flexround.b3", 1)]
    [InlineData(Stories260, "lrq-r16.b3", 1)]
    public void WhatIsLearnedIsAsGoodAsTheReference(string name, string key, int seeds)
    {
        string? missed = Distance(name, key, seeds);
        Assert.True(missed is null, missed);
    }

    [Theory]
    [InlineData(Stories656, 3)]
    [InlineData(Stories260, 2)]
    [InlineData(BabyLlama, 3)]
    public void EveryLearnedRowIsAsGoodAsTheReference(string name, int seeds)
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("LRQ_LONG_TESTS") == "1", "Takes several minutes: set LRQ_LONG_TESTS=1 to run it.");
        string[] methods = name == BabyLlama ? ["lrq-r16", "flexround"] : ["lrq-r1", "lrq-r4", "lrq-r16", "lrq-r64", "flexround"];
        string[] missed = [.. new[] { 4, 3, 2 }.SelectMany(bits => methods.Select(method => Distance(name, $"{method}.b{bits}", seeds))).OfType<string>()];
        Assert.True(missed.Length == 0, string.Join('\n', missed));
    }

    // What a row differs by when it is more than its tolerance, else null.
    private string? Distance(string name, string key, int seeds)
    {
        using var lab = new TinyModelLab(name);
        JsonElement row = lab.Row(key);
        int bits = key[^1] - '0', iterations = row.GetProperty("iters").GetInt32();
        double rate = row.GetProperty("lr").GetDouble();
        string method = key[..key.IndexOf('.', StringComparison.Ordinal)];
        int rank = method == "flexround" ? 0 : int.Parse(method["lrq-r".Length..], CultureInfo.InvariantCulture);
        string kind = rank == 0 ? "flexround" : "lrq";
        (double perplexity, _, _) = Figure(row, "ppl");
        (double divergence, double deviation, int runs) = Figure(row, "kl");
        double sum = 0;
        for (int seed = 0; seed < seeds; seed++)
        {
            EvaluationResult measured = lab.Quantize(kind, bits, GridStart.Search, rank, iterations, rate, (ulong)seed);
            Print(name, $"{key} seed {seed}", measured, perplexity, divergence);
            sum += measured.KlDivergence!.Value;
        }
        double allowed = runs < 3 ? 0.1 * divergence : Math.Max(3 * deviation, 0.06 * divergence);
        string what = string.Create(
            CultureInfo.InvariantCulture,
            $"{name} {key}: mean KL {sum / seeds:F5} over {seeds} seeds, reference {divergence:F5} ± {deviation:F5}, allowed {allowed:F5}");
        output.WriteLine(what);
        return Math.Abs((sum / seeds) - divergence) <= allowed ? null : what;
    }

    private static (double Mean, double Deviation, int Runs) Figure(JsonElement row, string figure)
    {
        JsonElement value = row.GetProperty(figure), deviation = value.GetProperty("sd");
        double spread = deviation.ValueKind == JsonValueKind.Null ? 0 : deviation.GetDouble();
        return (value.GetProperty("mean").GetDouble(), spread, value.GetProperty("n").GetInt32());
    }

    private void Print(string name, string key, EvaluationResult measured, double perplexity, double divergence) => output.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{name} {key}: perplexity {measured.Perplexity:F3} (reference {perplexity:F3}), KL {measured.KlDivergence:F4} (reference {divergence:F4})"));

    private static void CheckLogits(TinyModelLab lab)
    {
        float[] expected = GoldenBlockTests.Read<float>(lab.Golden, "logits");
        int vocabulary = lab.Model.Config.VocabularySize, length = expected.Length / 2 / vocabulary;
        using var runner = new ModelRunner(lab.Model);
        runner.Run(
            [.. lab.EvaluationWindows.Take(2).Select(window => window.Ids[..length])],
            (number, hidden) =>
            {
                using var tape = new Tape(lab.Model.Device, recording: false);
                ReadOnlySpan<float> logits = runner.Head.Logits(tape, new Variable(hidden)).Value.Span;
                for (int i = 0; i < logits.Length; i++) Assert.Equal(expected[(number * logits.Length) + i], logits[i], 5e-5f);
            },
            cancellation: TestContext.Current.CancellationToken);
    }
}
