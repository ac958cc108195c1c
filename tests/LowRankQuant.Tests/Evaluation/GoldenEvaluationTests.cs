using System.Text.Json;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Perplexities and divergences of the reference checkpoints; tolerances are those stated with them.</summary>
public sealed class GoldenEvaluationTests
{
    private const double RelativeLoss = 2e-5;
    private const double MeanDivergence = 1e-5;
    private const double Divergence = 1e-3;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("windows.file", 40)]
    [InlineData("windows.rows_joined", 40)]
    public void TinyStories_WindowLosses(string key, int windows)
    {
        using JsonDocument golden = Golden("ppl.tinystories-656k.json");
        using var device = new CpuDevice();
        using CausalModel model = TinyStories(device);
        int[] ids = WikiTextIds("models/tinystories-656k", golden, key);
        CheckWindows(model, golden.RootElement.GetProperty(key), TextWindows.Cut(ids, new TextWindowOptions { Context = 512, Windows = windows }, model.Config));
        // The whole text's last window is a partial one.
        JsonElement partial = golden.RootElement.GetProperty(key).GetProperty("last_partial");
        IReadOnlyList<TextWindow> all = TextWindows.Cut(ids, new TextWindowOptions { Context = 512 }, model.Config);
        Assert.Equal(golden.RootElement.GetProperty(key).GetProperty("windows").GetInt32() + 1, all.Count);
        Assert.Equal(partial.GetProperty("tokens").GetInt32(), all[^1].Ids.Length);
        Assert.Equal(1, Score(model, [all[^1]])[0].LossSum / partial.GetProperty("nll_sum").GetDouble(), RelativeLoss);
    }

    [Fact]
    public void TinyStories_DivergenceOfRoundingToNearest()
    {
        using JsonDocument golden = Golden("kl.tinystories-656k.json");
        using var device = new CpuDevice();
        using CausalModel reference = TinyStories(device);
        using CausalModel rounded = Rounded(TinyStoriesCheckpoint(), device);
        CheckSpots(reference.Checkpoint, golden.RootElement.GetProperty("spot"));
        CheckDivergence(rounded, reference, golden.RootElement, "kl.tinystories-656k.safetensors", windows: 4);
    }

    [Fact]
    public void SmolLM2_WindowLoss()
    {
        using JsonDocument golden = Golden("ppl.smollm2-135m.json");
        using var device = new CpuDevice();
        using var model = new CausalModel(SmolLM2(), device);
        int[] ids = WikiTextIds("models/smollm2-135m", golden, "windows.file");
        CheckWindows(model, golden.RootElement.GetProperty("windows.file"), TextWindows.Cut(ids, new TextWindowOptions { Windows = 1 }, model.Config));
    }

    [Fact]
    public void SmolLM2_DivergenceOfRoundingToNearest()
    {
        using JsonDocument golden = Golden("kl.smollm2-135m.json");
        using var device = new CpuDevice();
        using var reference = new CausalModel(SmolLM2(), device);
        using CausalModel rounded = Rounded(SmolLM2(), device);
        CheckDivergence(rounded, reference, golden.RootElement, "kl.smollm2-135m.safetensors", windows: 1);
    }

    private static void CheckWindows(CausalModel model, JsonElement golden, IReadOnlyList<TextWindow> windows)
    {
        var scores = new List<WindowScore>();
        using var runner = new ModelRunner(model);
        EvaluationResult result = new Evaluator(runner) { WindowScored = scores.Add }.Evaluate(windows, cancellation: Token);
        double mean = 0;
        for (int i = 0; i < windows.Count; i++)
        {
            double expected = golden.GetProperty("nll_sum")[i].GetDouble();
            Assert.Equal(1, scores[i].LossSum / expected, RelativeLoss);
            mean += expected / windows[i].ScoredTokens / windows.Count;
        }
        Assert.Equal(1, result.Perplexity!.Value / Math.Exp(mean), RelativeLoss);
        Assert.Equal(windows.Sum(window => window.ScoredTokens), result.Tokens);
        Assert.Equal(windows.Count, result.Windows);
    }

    private static void CheckDivergence(CausalModel rounded, CausalModel reference, JsonElement golden, string file, int windows)
    {
        var tensors = new ReferenceTensors(TestData.Path("golden", "eval", file));
        int length = golden.GetProperty("window").GetInt32();
        int[] ids = tensors.Read<int>("tokens");
        float[] divergences = tensors.Read<float>("kl");
        byte[] same = tensors.Read<byte>("top1_same");
        TextWindow[] cut = [.. Enumerable.Range(0, windows).Select(i => new TextWindow(ids[(i * length)..((i + 1) * length)]))];
        var scores = new List<WindowScore>();
        using ModelRunner model = new(rounded), expected = new(reference);
        EvaluationResult result = new Evaluator(model, expected) { WindowScored = scores.Add, Depth = new DepthCollector(new DepthOptions(), rounded, null) }.Evaluate(cut, cancellation: Token);
        for (int i = 0; i < windows * length; i++)
        {
            WindowScore score = scores[i / length];
            Assert.Equal(divergences[i], score.Divergences![i % length], Divergence);
            Assert.True(same[i] == 1 == score.Agreements![i % length], $"most probable token of position {i}");
        }
        for (int i = 0; i < windows; i++) Assert.Equal(1, scores[i].LossSum / golden.GetProperty("nll_sum_q")[i].GetDouble(), RelativeLoss);
        Assert.Equal(divergences.Take(windows * length).Average(value => (double)value), result.KlDivergence!.Value, MeanDivergence);
        if (windows < golden.GetProperty("windows").GetInt32()) return;
        CheckMeans(golden.GetProperty("all_positions"), result);
        JsonElement all = golden.GetProperty("all_positions");
        Assert.Equal(all.GetProperty("n").GetInt64(), result.Depth!.Divergence.Positions);
        // The lower of the two in the middle there, their mean here.
        Assert.Equal(all.GetProperty("kl_median").GetDouble(), result.Depth.Divergence.Median, 1e-4);
        Assert.Equal(all.GetProperty("kl_max").GetDouble(), result.Depth.Divergence.Largest, Divergence);
        Assert.Equal(1, result.Perplexity!.Value / golden.GetProperty("ppl_q").GetDouble(), RelativeLoss);
        var options = new EvaluationOptions { Positions = ComparedPositions.Predicting };
        CheckMeans(golden.GetProperty("predicting_positions"), new Evaluator(model, expected).Evaluate(cut, options, cancellation: Token));
    }

    private static void CheckMeans(JsonElement golden, EvaluationResult result)
    {
        Assert.Equal(golden.GetProperty("kl_mean").GetDouble(), result.KlDivergence!.Value, MeanDivergence);
        Assert.Equal(golden.GetProperty("kl_stderr").GetDouble(), result.StandardErrors["klDivergence"], 1e-6);
        Assert.Equal(golden.GetProperty("top1").GetDouble(), result.Top1Agreement!.Value, 1e-12);
        Assert.Equal(golden.GetProperty("top1_stderr").GetDouble(), result.StandardErrors["top1Agreement"], 1e-12);
    }

    private static void CheckSpots(ICheckpoint checkpoint, JsonElement spots)
    {
        foreach (JsonElement spot in spots.EnumerateArray().Some())
        {
            string name = spot.GetProperty("layer").GetString() + ".weight";
            int columns = checkpoint.ShapeOf(name)[1];
            var values = new float[checkpoint.ShapeOf(name)[0] * columns];
            checkpoint.Read(name, values);
            (float scale, float zero) = AlteredCheckpoint.RowGrid(values.AsSpan(0, columns));
            Assert.Equal(spot.GetProperty("scale").GetSingle(), scale);
            Assert.Equal(spot.GetProperty("zero").GetInt32(), zero);
            int[] codes = [.. values.Take(8).Select(value => (int)Math.Clamp(MathF.Round(value / scale) + zero, 0, 15))];
            Assert.Equal(spot.GetProperty("codes").EnumerateArray().Select(code => code.GetInt32()), codes);
        }
    }

    private static List<WindowScore> Score(CausalModel model, IReadOnlyList<TextWindow> windows)
    {
        var scores = new List<WindowScore>();
        using var runner = new ModelRunner(model);
        new Evaluator(runner) { WindowScored = scores.Add }.Evaluate(windows, cancellation: Token);
        return scores;
    }

    private static int[] WikiTextIds(string modelFolder, JsonDocument golden, string key)
    {
        string text = File.ReadAllText(TestData.Path("data", "wikitext-2", "wiki.test.raw"));
        JsonElement facts = golden.RootElement.GetProperty("texts").GetProperty(key["windows.".Length..]);
        if (key == "windows.rows_joined") text = WikiText.JoinRows(new StringReader(text)).ReadToEnd();
        Assert.Equal(
            facts.GetProperty("sha256").GetString(),
            Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(text))));
        int[] ids = TokenizerJson.Load(Path.Combine(TestData.Path(modelFolder.Split('/')), "tokenizer.json")).Encode(text, addSpecialTokens: false);
        Assert.Equal(facts.GetProperty("tokens").GetInt32(), ids.Length);
        return ids;
    }

    private static JsonDocument Golden(string name) => JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "eval", name)));

    private static HuggingFaceCheckpoint TinyStoriesCheckpoint() => HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k"));

    private static CausalModel TinyStories(Device device) => new(TinyStoriesCheckpoint(), device);

    private static AlteredCheckpoint SmolLM2() =>
        new(GgufCheckpoint.Open(TestData.Path("models", "smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf")), AlteredCheckpoint.RoundToBFloat16);

    private static CausalModel Rounded(ICheckpoint checkpoint, Device device) =>
        new(new AlteredCheckpoint(checkpoint, (name, values) => AlteredCheckpoint.RoundRowsToFourBits(name, values, checkpoint.ShapeOf(name)[^1])), device);
}
