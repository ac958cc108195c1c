using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.Transforms;

namespace LowRankQuant.Tests.Families;

/// <summary>Linears that stay in their own type: which ones families leave so, that the choice changes nothing of what is computed, and that gradients and transforms pass through them.</summary>
public sealed class KeptLinearTests : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });

    public void Dispose() => _device.Dispose();

    [Theory]
    [InlineData("models/qwen3", "")]
    [InlineData("models/mixtral", "block_sparse_moe.gate")]
    [InlineData("models2/qwen2_moe", "mlp.gate mlp.shared_expert_gate")]
    [InlineData("models2/gpt_oss", "mlp.router")]
    [InlineData("models2/gemma4_moe", "router.proj")]
    [InlineData("models2/dbrx", "ffn.router.layer")]
    [InlineData("hybrids/deepseek_v3", "mlp.gate")]
    [InlineData("hybrids/mamba2", "")]
    [InlineData("hybrids/qwen3_5", "linear_attn.in_proj_a linear_attn.in_proj_b")]
    [InlineData("hybrids/qwen3_next", "linear_attn.in_proj_ba mlp.gate mlp.shared_expert_gate")]
    [InlineData("hybrids/kimi_linear", "block_sparse_moe.gate self_attn.b_proj self_attn.f_a_proj self_attn.f_b_proj self_attn.g_a_proj self_attn.g_b_proj")]
    [InlineData("hybrids/jamba", "feed_forward.router mamba.dt_proj mamba.x_proj")]
    [InlineData("hybrids/lfm3", "self_attn.gate_proj")]
    [InlineData("hybrids/nemotron_h_moe", "mixer.gate")]
    public void FamiliesSayWhatStaysInItsOwnType(string name, string expected)
    {
        using var folder = new TemporaryFolder();
        FamilyModels.Write(name, folder.File("model"));
        using var model = new CausalModel(CheckpointOpener.Open(folder.File("model")), _device);
        LinearShape[] kept = [.. model.Layout.Kept.SelectMany(block => block)];
        Assert.Equal(expected, string.Join(' ', kept.Select(linear => linear.Name).Distinct().Order(StringComparer.Ordinal)));
        Assert.All(kept, linear => Assert.True(linear.KeptByDefault));
        Assert.All(model.Layout.Linears.SelectMany(block => block), linear => Assert.False(linear.KeptByDefault));
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            AssertIsOf(model, block);
            Assert.Equal(model.Layout.Linears[i].Count + model.Layout.Kept[i].Count, model.Layout.AllLinears[i].Count);
        }
    }

    [Theory]
    [InlineData("models/phi3", "self_attn.v_proj model.layers.1.mlp.gate_proj", "")]
    [InlineData("models/mixtral", "block_sparse_moe.experts.1.w1 model.layers.0.block_sparse_moe.experts.0.w2", "block_sparse_moe.gate")]
    [InlineData("models2/gpt_oss", "self_attn.o_proj", "mlp.router")]
    [InlineData("hybrids/qwen3_next", "linear_attn.out_proj", "linear_attn.in_proj_ba mlp.gate mlp.shared_expert_gate")]
    [InlineData("hybrids/kimi_linear", "self_attn.q_proj", "self_attn.f_b_proj self_attn.b_proj model.layers.1.block_sparse_moe.gate")]
    [InlineData("hybrids/jamba", "mamba.in_proj", "mamba.x_proj mamba.dt_proj")]
    [InlineData("hybrids/lfm3", "conv.in_proj", "self_attn.gate_proj")]
    public void TheChoiceChangesNothingOfWhatIsComputed(string name, string kept, string quantized)
    {
        using var lab = new TransformLab(name);
        float[][] before = lab.Run(lab.Model, lab.Blocks(lab.Model));
        long weights = lab.Model.LinearWeights;
        var selection = new LinearSelection(Names(kept), Names(quantized));
        lab.Model.Selection = selection;
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        foreach (IDecoderBlock block in blocks) AssertIsOf(lab.Model, block);
        Assert.NotEqual(weights, lab.Model.LinearWeights);
        foreach (string linear in selection.Kept) Assert.Contains(blocks, block => block.Kept.Any(slot => slot.Name == linear || $"{block.Name}.{slot.Name}" == linear));
        foreach (string linear in selection.Quantized) Assert.Contains(blocks, block => block.Slots.Any(slot => slot.Name == linear || $"{block.Name}.{slot.Name}" == linear));
        TransformLab.AssertSameBits(before, lab.Run(lab.Model, blocks));
        lab.Model.Selection = null;
        Assert.Equal(weights, lab.Model.LinearWeights);
    }

    [Theory]
    [InlineData("qwen3_next", 0, "linear_attn.out_proj", "linear_attn.in_proj_ba")]
    [InlineData("qwen3_5_text", 0, "linear_attn.in_proj_z mlp.down_proj", "linear_attn.in_proj_a linear_attn.in_proj_b")]
    [InlineData("kimi_linear", 0, "self_attn.k_proj self_attn.o_proj", "self_attn.f_a_proj self_attn.f_b_proj self_attn.g_a_proj self_attn.g_b_proj self_attn.b_proj")]
    [InlineData("jamba", 0, "mamba.out_proj", "mamba.x_proj mamba.dt_proj")]
    [InlineData("lfm3", 1, "self_attn.o_proj feed_forward.w2", "self_attn.gate_proj")]
    public void GradientsPassThroughWhatIsKeptAndReachWhatIsNot(string name, int block, string kept, string quantized)
    {
        using var model = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Path("golden", "hybrids", name)), _device) { Selection = new LinearSelection(Names(kept), Names(quantized)) };
        string[] linears = [.. model.LinearsOf(block).Where(linear => !linear.IsExpert).Select(linear => linear.Name)];
        Assert.Superset(Names(quantized).ToHashSet(), linears.ToHashSet());
        Assert.Empty(linears.Intersect(Names(kept)));
        BlockGradients.Check(model, block, linears, windows: 2, length: 20);
    }

    /// <summary>Factors are multiplied into every reader and every writer, kept ones too, which then have the digits that are stored and are among what changed.</summary>
    [Theory]
    [InlineData("models/llama_bias", "self_attn.v_proj mlp.gate_proj")]
    [InlineData("models/llama_bias", "self_attn.v_proj mlp.up_proj")]
    [InlineData("models/mixtral", "self_attn.q_proj self_attn.k_proj self_attn.v_proj")]
    public void TransformsReachWhatIsKept(string name, string kept)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] plain = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, plain);
        lab.Model.Selection = new LinearSelection(Names(kept), []);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        for (int i = 0; i < blocks.Length; i++)
        {
            blocks[i].StoredRounding = (_, value) => (float)(Half)value;
            Assert.True(blocks[i].Folds.Sites.Count > 0 && blocks[i].Folds.Sites.Count <= plain[i].Folds.Sites.Count);
            Assert.All(blocks[i].Folds.Sites, site => Assert.All(site.Slots, slot => Assert.False(slot.IsKept)));
            foreach (FoldSite site in blocks[i].Folds.Sites) site.Fold(TransformLab.Factors(site.Channels, (ulong)i, powersOfTwo: true));
        }
        // Values of the source have eight digits, so that halves hold them times powers of two.
        TransformLab.AssertSameButForRounding(before, lab.Run(lab.Model, blocks));
        foreach (IDecoderBlock block in blocks)
        {
            ChangedTensors changes = block.Changes(weights: false);
            LinearSlot[] touched = [.. block.Kept.Where(slot => changes.Contains($"{block.Name}.{slot.Name}.weight"))];
            Assert.All(touched, slot => Assert.Equal(slot.WeightValues(), changes.Read($"{block.Name}.{slot.Name}.weight")));
            Assert.All(touched, slot => Assert.All(slot.WeightValues(), value => Assert.Equal((float)(Half)value, value)));
            Assert.DoesNotContain(changes.Names, changed => block.Slots.Any(slot => $"{block.Name}.{slot.Name}.weight" == changed));
        }
        Assert.Contains(blocks, block => block.Kept.Any(slot => block.Changes(weights: false).Contains($"{block.Name}.{slot.Name}.weight")));
    }

    private static void AssertIsOf(CausalModel model, IDecoderBlock block)
    {
        Assert.Equal(model.LinearsOf(block.Index).Select(linear => linear.Name), block.Slots.Select(slot => slot.Name));
        Assert.Equal(model.Layout.Kept[block.Index].Select(linear => linear.Name), block.Kept.Select(slot => slot.Name));
        Assert.All(block.Slots, slot => Assert.False(slot.IsKept));
        Assert.All(block.Kept, slot => Assert.True(slot.IsKept));
    }

    private static string[] Names(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
