using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Quantization.Planning;

/// <summary>Memory that schemes take: streams of activations, blocks with methods of their own, and what quantizers leave on a tape.</summary>
public sealed class MemoryPlanTests : IDisposable
{
    private readonly PlannedDemo _demo = new();

    private long Stream => (long)(PlannedDemo.Samples + PlannedDemo.HeldOut) * PlannedDemo.Length * _demo.Model.Config.HiddenSize * sizeof(float);

    /// <summary>Static ranges and smoothing look at text whatever the method; steps of tokens look at none.</summary>
    [Theory]
    [InlineData("w8a8", "rtn", 2)]
    [InlineData("w8a8-dynamic", "rtn", 0)]
    [InlineData("w4a4", "rtn", 0)]
    [InlineData("w8a8-dynamic", "lrq", 2)]
    public void StreamsArePlannedWhereTextIsLookedAt(string scheme, string method, int streams) => Assert.Equal(streams * Stream, _demo.Memory(_demo.Recipe(scheme, method)).StreamBytes);

    /// <summary>Whichever method is that of most blocks, the run takes what the larger one takes.</summary>
    [Theory]
    [InlineData("rtn", "lrq")]
    [InlineData("lrq", "rtn")]
    [InlineData("rtn", "flexround")]
    public void ABlockWithAMethodOfItsOwnIsPlannedFor(string method, string own)
    {
        MemoryPlan plain = Plan(method), other = Plan(own);
        MemoryPlan mixed = _demo.Memory(_demo.Recipe(new RecipeRequest { Scheme = "w8a8", Method = method, BlockRules = [new BlockRule([1], own, Asked.For(), null)] }));
        Assert.NotEqual(plain.FixedBytes, other.FixedBytes);
        Assert.Equal(Math.Max(plain.FixedBytes, other.FixedBytes), mixed.FixedBytes);
        Assert.Equal(Math.Max(plain.StreamBytes, other.StreamBytes), mixed.StreamBytes);

        MemoryPlan Plan(string name) => _demo.Memory(_demo.Recipe("w8a8", name));
    }

    /// <summary>Blocks are kept by a step of tuning in what activations leave of the budget, and the plan says so.</summary>
    [Fact]
    public void BlocksThatTuningKeepsTakeWhatActivationsLeave()
    {
        Recipe tuned = _demo.Recipe(new RecipeRequest { Bits = 3, Method = "flexround", TuneSteps = 4, TuneCodeRate = 0.02 });
        long weights = _demo.Model.Layout.Modules.Sum(module => (long)module.OutFeatures * module.InFeatures);
        MemoryPlan roomy = _demo.Memory(tuned), tight = Plan(roomy.FixedBytes + roomy.StreamBytes + 1000), none = Plan(roomy.FixedBytes);
        Assert.Equal((12 * weights, 1000, 0), (roomy.KeptBytes, tight.KeptBytes, none.KeptBytes));
        Assert.Contains("for blocks that tuning keeps in memory", roomy.Describe(), StringComparison.Ordinal);
        Assert.DoesNotContain("tuning", none.Describe(), StringComparison.Ordinal);
        Assert.Equal(0, _demo.Memory(tuned with { Tuning = null }).KeptBytes);

        MemoryPlan Plan(long memory) => MemoryPlan.For(_demo.Model.Config, _demo.Model.Layout, tuned, memory);
    }

    /// <summary>A step with quantizers inside takes the copies that they leave on its tape, and the plan says how many.</summary>
    [Theory]
    [InlineData("w8a8")]
    [InlineData("w4a8")]
    public void QuantizersInsideTakeWhatIsPlannedForThem(string scheme)
    {
        Recipe inside = _demo.Recipe(scheme, "lrq", ("inside", true)), outside = _demo.Recipe(scheme, "lrq", ("inside", false));
        long planned = Whole(inside) - Whole(outside), tokens = (long)inside.Batch * PlannedDemo.Length;
        Assert.Equal(_demo.Memory(inside).FixedBytes - _demo.Memory(outside).FixedBytes, planned);
        int[][] ids = [.. Enumerable.Range(0, inside.Batch).Select(window => Enumerable.Range(window, PlannedDemo.Length).ToArray())];
        using ActivationStream stream = ActivationStream.Embed(_demo.Model, ids, new StreamOptions(new MemoryBudget(1 << 30), Path.GetTempPath()));
        using PreparedBlock prepared = new PreparedModel(_demo.Model, inside, null).Prepare(0, stream, ids.Length, TestContext.Current.CancellationToken, measured: false);
        long plain = TapeBytes(prepared.Block, stream), quantized;
        using (prepared.Quantizers!.Use()) quantized = TapeBytes(prepared.Block, stream);
        // Steps of tokens are a few numbers beside the copies, and every tensor a page at least.
        Assert.InRange(quantized - plain, planned, planned * 1.15);
        Assert.True(planned > tokens * sizeof(float) * 4 * _demo.Model.Config.HiddenSize);

        long Whole(Recipe recipe) => new BlockMemory(_demo.Model.Config, _demo.Model.Layout, recipe).Whole();
    }

    /// <summary>A block records what every token leaves in each of its experts, and in what all tokens pass besides; the plan has room for it, and little more.</summary>
    [Theory]
    [InlineData("models/qwen3", null)]
    [InlineData("models/mixtral", null)]
    [InlineData("models/mixtral", """{"num_local_experts": 8, "num_experts_per_tok": 4}""")]
    [InlineData("models/qwen3_moe", null)]
    [InlineData("models2/qwen2_moe", null)]
    [InlineData("hybrids/deepseek_v3", """{"first_k_dense_replace": 0}""")]
    [InlineData("hybrids/deepseek_v2", """{"first_k_dense_replace": 0}""")]
    [InlineData("hybrids/mistral4", null)]
    public void ATapeTakesWhatIsPlannedForIt(string name, string? changes)
    {
        const int windows = 8, length = 128;
        using var folder = new TemporaryFolder();
        FamilyModels.Write(name, folder.File("model"), changes);
        using var model = new CausalModel(CheckpointOpener.Open(folder.File("model")), _demo.Model.Device);
        int[][] ids = [.. Enumerable.Range(0, windows).Select(window => Enumerable.Range(0, length).Select(i => ((window * 31) + (i * i)) % 101).ToArray())];
        using ActivationStream stream = ActivationStream.Embed(model, ids, new StreamOptions(new MemoryBudget(1 << 30), Path.GetTempPath()));
        using IDecoderBlock block = model.LoadBlock(0);
        // Values; gradients are as many.
        long planned = TapeMemory.Bytes(model.Config, model.Layout, _demo.Recipe("w4a16", "rtn"), windows * length, quantized: false) / 2;
        Assert.InRange(TapeBytes(block, stream) / (double)planned, 0.8, 1);
    }

    /// <summary>
    /// The same of blocks with recurrences, latents and mixers side by side, whose weights are learned: the states that the way back begins from are kept only then. The plan goes by
    /// the block that takes most.
    /// </summary>
    [Theory]
    [InlineData("hybrids/qwen3_5", null)]
    [InlineData("hybrids/qwen3_next", null)]
    [InlineData("hybrids/kimi_linear", null)]
    [InlineData("hybrids/lfm2", null)]
    [InlineData("hybrids/lfm2_moe", null)]
    [InlineData("hybrids/lfm3", null)]
    [InlineData("hybrids/granitemoehybrid", null)]
    [InlineData("hybrids/nemotron_h", null)]
    [InlineData("hybrids/nemotron_h_moe", null)]
    [InlineData("hybrids/falcon_h1", null)]
    [InlineData("hybrids/bamba", null)]
    [InlineData("hybrids/mamba2", null)]
    [InlineData("hybrids/jamba", null)]
    [InlineData("hybrids/deepseek_v3", """{"first_k_dense_replace": 0}""")]
    [InlineData("models2/gemma4_text", """{"num_kv_shared_layers": 0}""")]
    [InlineData("models2/gemma4_moe", """{"num_kv_shared_layers": 0}""")]
    [InlineData("models/gpt_neox", null)]
    [InlineData("models/stablelm_12b", null)]
    public void RecurrencesLeaveTheirStatesToo(string name, string? changes)
    {
        const int windows = 4, length = 128;
        using var folder = new TemporaryFolder();
        FamilyModels.Write(name, folder.File("model"), changes);
        Device device = _demo.Model.Device;
        using var model = new CausalModel(CheckpointOpener.Open(folder.File("model")), device);
        int[][] ids = [.. Enumerable.Range(0, windows).Select(window => Enumerable.Range(0, length).Select(i => ((window * 31) + (i * i)) % 101).ToArray())];
        using ActivationStream stream = ActivationStream.Embed(model, ids, new StreamOptions(new MemoryBudget(1 << 30), Path.GetTempPath()));
        var taken = new List<long>();
        for (int index = 0; index < model.Config.Layers; index++)
        {
            using IDecoderBlock block = model.LoadBlock(index);
            foreach (LinearSlot slot in block.Slots)
                slot.Exchange(new DenseWeight(device.From(slot.WeightValues(), slot.OutFeatures, slot.InFeatures), device.Zeros(slot.OutFeatures, slot.InFeatures))).Dispose();
            taken.Add(TapeBytes(block, stream));
        }
        long planned = TapeMemory.Bytes(model.Config, model.Layout, _demo.Recipe("w4a16", "rtn"), windows * length, quantized: false) / 2;
        Assert.InRange(taken.Max() / (double)planned, 0.85, 1);
    }

    /// <summary>Of what stays in its own type floats are in memory, and not what rounding takes besides.</summary>
    [Fact]
    public void FloatsThatStayAreCountedOnce()
    {
        Recipe recipe = _demo.Recipe("w4a16", "rtn");
        ModelLayout all = _demo.Model.Layout, some = all.Select(new LinearSelection(["mlp.gate_proj", "mlp.down_proj"], []));
        long kept = sizeof(float) * some.Kept[0].Sum(linear => linear.Weights);
        Assert.Equal(Whole(all) - (3 * kept), Whole(some));

        long Whole(ModelLayout layout) => new BlockMemory(_demo.Model.Config, layout, recipe).Whole();
    }

    public void Dispose() => _demo.Dispose();

    private long TapeBytes(IDecoderBlock block, ActivationStream stream)
    {
        Device device = _demo.Model.Device;
        int[] windows = [.. Enumerable.Range(0, stream.Windows)];
        using Tensor input = device.Empty(windows.Length * stream.Rows, stream.Columns);
        long before = device.BytesInUse;
        using var tape = new Tape(device, recording: true);
        stream.Forward(block, tape, windows, input);
        return device.BytesInUse - before;
    }
}
