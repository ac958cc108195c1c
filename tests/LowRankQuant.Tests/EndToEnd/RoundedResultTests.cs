using System.Buffers.Binary;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Measuring;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>A result that is the baseline is measured once, and only then.</summary>
public sealed class RoundedResultTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Output => _folder.File("out");

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false, "--start", "search")]
    [InlineData(false, "--embedding", "8")]
    [InlineData(false, "--format", "dense")]
    public async Task RoundToNearestIsMeasuredOnce(bool once, params string[] more)
    {
        CliResult run = await Lrq.Run(Lrq.Rounding(Output, ["--bits", "3", .. more]));
        Assert.True(run.Code == 0, run.Error);
        Assert.Equal(once, run.Out.Contains("they are measured once", StringComparison.Ordinal));
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(Output, "report.json")))!;
        if (once) Assert.Equal(Figure("result"), Figure("rtn"));
        if (more.Contains("search")) Assert.NotEqual(Figure("result"), Figure("rtn"));

        double Figure(string row) => (double)report[row]!["klDivergence"]!;
    }

    // What is taken over is what a measurement of the baseline itself gives, bit by bit.
    [Fact]
    public async Task TheRowIsWhatTheBaselineMeasures()
    {
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(Output, "--bits", "3"))).Code);
        JsonNode rtn = JsonNode.Parse(File.ReadAllText(Path.Combine(Output, "report.json")))!["rtn"]!;
        using CausalModel model = Open(TestData.Demo);
        Recipe recipe = RecipeOf(model);
        var windows = new TextFileWindows(
            new TextSource(Path.Combine(TestData.Demo, "evaluation.txt"), new TextSourceOptions()),
            model.Checkpoint.LoadTokenizer(), model.Config, AddBos.Auto, new TextWindowOptions { Windows = 1 });
        using ModelRunner rounded = new(model, loadBlock: index => Rounded(model, recipe, index)), full = new(model);
        EvaluationResult expected = new Evaluator(rounded, full).Evaluate([.. windows], cancellation: Token);
        Assert.Equal((expected.Perplexity, expected.KlDivergence, expected.Top1Agreement), ((double?)rtn["perplexity"], (double?)rtn["klDivergence"], (double?)rtn["top1Agreement"]));
    }

    [Fact]
    public async Task OneBitMakesAnotherResult()
    {
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(Output, "--bits", "3"))).Code);
        using CausalModel model = Open(TestData.Demo);
        Recipe recipe = RecipeOf(model);
        Assert.True(Same(long.MaxValue));
        // Two blocks are in memory while they are compared.
        Assert.False(Same(1000));
        string file = Path.Combine(Output, "model.safetensors");
        byte[] whole = File.ReadAllBytes(file);
        foreach (string tensor in new[] { "model.norm.weight", "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight", "model.layers.3.mlp.down_proj.weight_scale" })
        {
            byte[] changed = [.. whole];
            changed[Start(whole, tensor)] ^= 1;
            File.WriteAllBytes(file, changed);
            Assert.False(Same(long.MaxValue), tensor);
        }
        File.WriteAllBytes(file, whole);
        Assert.True(Same(long.MaxValue));
        DemoCopy.Edit(Output, "config.json", json => json["rms_norm_eps"] = (double)json["rms_norm_eps"]! * 2);
        Assert.False(Same(long.MaxValue));

        bool Same(long budget)
        {
            using CausalModel result = Open(Output);
            return new RoundedResult(model, result, recipe).EqualsBaseline(index => Rounded(model, recipe, index), budget, Token);
        }
    }

    private CausalModel Open(string folder) => new(HuggingFaceCheckpoint.Open(folder), _device);

    private IDecoderBlock Rounded(CausalModel model, Recipe recipe, int index)
    {
        IDecoderBlock block = model.LoadBlock(index);
        SlotSwap.ReplaceByRounded(block, recipe.SchemeFrom(GridStart.MinMax), _device);
        return block;
    }

    private Recipe RecipeOf(CausalModel model)
    {
        RecipeRequest request = RecipeReader.Read(File.ReadAllText(Path.Combine(Output, "recipe.json")), "recipe.json", BuiltInMethods.Catalog).Request;
        return RecipeResolver.Resolve(BuiltInMethods.Catalog, request, model.Config, model.Layout, model.Checkpoint.NativeScaleType).Recipe;
    }

    private static int Start(byte[] file, string tensor)
    {
        int head = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        JsonNode header = JsonNode.Parse(file.AsSpan(8, head))!;
        return 8 + head + (int)header[tensor]!["data_offsets"]![0]!;
    }
}
