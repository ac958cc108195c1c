using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Export;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Transforms;

/// <summary>
/// Folds of every family. Factors that are powers of two must not change a single bit: they commute with every rounding on the way, so that this is stricter than a
/// comparison in double precision, where a reader that was forgotten could still hide behind a tolerance.
/// </summary>
public sealed class FoldTests
{
    public static TheoryData<string> Cases => [.. FamilyModels.Cases];

    [Theory]
    [MemberData(nameof(Cases))]
    public void PowersOfTwoChangeNoBit(string name)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, blocks);
        ulong seed = 0;
        foreach (IDecoderBlock block in blocks)
        {
            Assert.Empty(block.Changes(weights: true).Names);
            CheckCover(block);
            foreach (FoldSite site in block.Folds.Sites)
            {
                float[][] parts = [.. PartsOf(site)];
                site.Fold(TransformLab.Factors(site.Channels, ++seed, powersOfTwo: true));
                // Everything that takes part is another now.
                foreach ((float[] old, float[] now) in parts.Zip(PartsOf(site))) Assert.NotEqual(old, now);
            }
            Assert.Equal(ChangedNames(block).Order(StringComparer.Ordinal), block.Changes(weights: true).Names);
        }
        float[][] after = lab.Run(lab.Model, blocks);
        TransformLab.AssertSameBits(before, after);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void AnyFactorsChangeNoMoreThanRounding(string name)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, blocks);
        ulong seed = 1000;
        using (var undo = new FoldUndo())
        {
            foreach (FoldSite site in blocks.SelectMany(block => block.Folds.Sites)) site.Fold(TransformLab.Factors(site.Channels, ++seed, powersOfTwo: false), undo);
            float[][] after = lab.Run(lab.Model, blocks);
            TransformLab.AssertSameButForRounding(before, after);
        }
        // Undone, every bit is what it was.
        Assert.All(blocks, block => Assert.Empty(block.Changes(weights: true).Names));
        float[][] again = lab.Run(lab.Model, blocks);
        TransformLab.AssertSameBits(before, again);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void EveryReaderCounts(string name)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, blocks);
        long[] tokens = [.. blocks.SelectMany(block => block.Routers.Take(1)).SelectMany(router => router.Tokens)];
        int tried = 0;
        for (int b = 0; b < blocks.Length; b++)
        {
            foreach (FoldSite site in blocks[b].Folds.Sites.Where(site => !site.IsExpert))
            {
                float[] factors = TransformLab.Factors(site.Channels, (ulong)b, powersOfTwo: true);
                foreach (Tensor matrix in site.Matrices)
                {
                    using var undo = new FoldUndo();
                    float[] old = matrix.ToArray();
                    site.Fold(factors, undo);
                    matrix.CopyFrom(old);
                    Differs(b, $"{site.Source} without one of its readers that stay floats");
                }
                foreach (LinearSlot slot in site.Slots.Where(slot => !slot.IsExpert).Concat(site.Kept))
                {
                    using var undo = new FoldUndo();
                    float[] old = slot.WeightValues();
                    site.Fold(factors, undo);
                    ((DenseWeight)slot.Weight).Value.CopyFrom(old);
                    Differs(b, $"{site.Source} without {slot.Name}");
                }
                if (!site.Slots.Any(slot => slot.IsExpert)) continue;
                using (var undo = new FoldUndo())
                {
                    // Which experts a token goes to stays as it is, so some expert of all has tokens.
                    float[][] old = [.. site.Slots.Where(slot => slot.IsExpert).Select(slot => slot.WeightValues())];
                    site.Fold(factors, undo);
                    foreach ((LinearSlot slot, float[] values) in site.Slots.Where(slot => slot.IsExpert).Zip(old)) ((DenseWeight)slot.Weight).Value.CopyFrom(values);
                    Differs(b, $"{site.Source} without experts");
                }
            }
        }
        Assert.Equal(tried == 0, blocks.All(block => block.Folds.Sites.All(site => site.IsExpert)));
        // Of models with experts the router reads as well, unless it sees the stream itself.
        if (tokens.Length > 0 && name != "models2/gemma4_moe") Assert.Contains(blocks, block => block.Folds.Sites.Any(site => site.OtherReaders > 0));

        void Differs(int block, string what)
        {
            tried++;
            float[][] after = lab.Run(lab.Model, blocks);
            Assert.False(before[block + 1].AsSpan().SequenceEqual(after[block + 1]), $"{what}: nothing changes");
        }
    }

    [Theory]
    [InlineData("models/llama_bias", "input_layernorm self_attn.v_proj post_attention_layernorm mlp.up_proj", "")]
    [InlineData("models/gemma2", "input_layernorm self_attn.v_proj pre_feedforward_layernorm mlp.up_proj", "")]
    [InlineData("models/gpt2", "ln_1 attn.v_proj ln_2", "mlp.c_proj: the activation in front (GeluTanh) does not scale with its input")]
    [InlineData("models/opt_125m", "self_attn_layer_norm self_attn.v_proj final_layer_norm fc1", "")]
    [InlineData("models/opt_350m", "self_attn.v_proj fc1", "self_attn.q_proj: it reads the residual stream without a norm in front")]
    [InlineData("models/olmo2", "self_attn.v_proj mlp.up_proj", "mlp.gate_proj: it reads the residual stream without a norm in front")]
    [InlineData("models/falcon_7b", "input_layernorm self_attention.v_proj", "mlp.dense_4h_to_h: the activation in front (GeluErf) does not scale with its input")]
    [InlineData("models/cohere2", "input_layernorm self_attn.v_proj mlp.up_proj", "")]
    [InlineData("models2/arcee", "input_layernorm self_attn.v_proj post_attention_layernorm", "mlp.down_proj: the activation in front (ReluSquared) does not scale with its input")]
    [InlineData("models2/apertus", "attention_layernorm self_attn.v_proj feedforward_layernorm", "mlp.down_proj: the activation in front (a curve with constants) does not scale with its input")]
    [InlineData("models2/gpt_oss", "input_layernorm self_attn.v_proj post_attention_layernorm", "mlp.experts.0.down_proj: the gate in front clamps its up half")]
    [InlineData("models2/dbrx", "norm_attn_norm.norm_1 norm_attn_norm.norm_2 ffn.experts.mlp.0.v1", "norm_attn_norm.attn.out_proj: values are held within")]
    [InlineData("models2/gemma4_text", "input_layernorm pre_feedforward_layernorm mlp.up_proj", "self_attn.o_proj: a norm of the values comes in between")]
    [InlineData("models2/gemma4_text", "input_layernorm pre_feedforward_layernorm mlp.up_proj", "per_layer_projection: the other factor of its input is the block's own input")]
    [InlineData("models2/gemma4_moe", "input_layernorm pre_feedforward_layernorm pre_feedforward_layernorm_2 experts.0.up_proj", "self_attn.o_proj: a norm of the values comes in between")]
    [InlineData("models2/llama4_text", "input_layernorm self_attn.v_proj post_attention_layernorm", "")]
    [InlineData("hybrids/deepseek_v3", "input_layernorm self_attn.q_a_layernorm self_attn.kv_a_layernorm self_attn.kv_b_proj post_attention_layernorm mlp.up_proj", "")]
    [InlineData("hybrids/deepseek_v2", "input_layernorm self_attn.kv_a_layernorm self_attn.kv_b_proj post_attention_layernorm mlp.up_proj", "")]
    [InlineData("hybrids/mistral4", "input_layernorm self_attn.q_a_layernorm self_attn.kv_a_layernorm self_attn.kv_b_proj post_attention_layernorm mlp.experts.0.up_proj", "")]
    public void SitesAndReasonsAreThoseOfTheBlock(string name, string sites, string refused)
    {
        using var lab = new TransformLab(name);
        // Without loading a block, too.
        BlockFolds planned = lab.Model.FoldsOf(0);
        BlockFolds folds = lab.Blocks(lab.Model)[0].Folds;
        string[] sources = [.. folds.Sites.Select(site => site.Source)];
        Assert.Equal(sources, planned.Sites.Select(site => site.Source));
        Assert.Equal(folds.Refused, planned.Refused);
        Assert.Equal(folds.RotationObstacle, planned.RotationObstacle);
        Assert.All(sites.Split(' '), site => Assert.Contains(site, sources));
        if (refused.Length == 0) Assert.Empty(folds.Refused);
        else Assert.Contains(folds.Refused, refusal => $"{refusal.Name}: {refusal.Reason}".StartsWith(refused, StringComparison.Ordinal));
    }

    [Fact]
    public void ANormInFrontOfBothHasAllReaders()
    {
        using var lab = new TransformLab("models/cohere2");
        FoldSite site = lab.Blocks(lab.Model)[0].Folds.Sites.Single(site => site.Kind == FoldKind.Norm);
        Assert.Equal(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"], site.Slots.Select(slot => slot.Name));
    }

    [Theory]
    [InlineData("models/falcon_40b")]
    [InlineData("models/gpt2")]
    [InlineData("models/gpt_neox")]
    [InlineData("models/gemma")]
    [InlineData("models/gemma3_text")]
    [InlineData("models/phi3")]
    [InlineData("models/bloom")]
    [InlineData("models/mixtral")]
    [InlineData("models/qwen3_moe")]
    [InlineData("models2/qwen2_moe")]
    [InlineData("models2/nemotron")]
    [InlineData("models2/gpt_oss")]
    [InlineData("models2/llama4_text")]
    [InlineData("models2/dbrx")]
    [InlineData("models2/ernie4_5_moe")]
    [InlineData("models2/codegen")]
    [InlineData("hybrids/deepseek_v3")]
    [InlineData("hybrids/mistral4")]
    public void WhatIsStoredGivesTheSameFunction(string name)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, blocks);
        var changes = new ChangedTensors();
        ulong seed = 0;
        foreach (IDecoderBlock block in blocks)
        {
            foreach (FoldSite site in block.Folds.Sites) site.Fold(TransformLab.Factors(site.Channels, ++seed, powersOfTwo: false));
            changes.Add(block.Changes(weights: true));
        }
        float[][] folded = lab.Run(lab.Model, blocks);
        string output = lab.File("output");
        using (var changed = new ChangedCheckpoint(lab.Checkpoint(), changes)) DenseExporter.Write(changed, output, SafetensorsType.F32, long.MaxValue, null, TestContext.Current.CancellationToken);
        Assert.Equal(Stored(lab.Source), Stored(output));
        CausalModel written = lab.OpenAsIs(CheckpointOpener.Open(output));
        float[][] after = lab.Run(written, lab.Blocks(written));
        TransformLab.AssertSameBits(folded, after);
        TransformLab.AssertSameButForRounding(before, after);
        // What a resumed run takes over.
        IDecoderBlock[] taken = lab.Blocks(lab.Model);
        foreach (IDecoderBlock block in taken) block.Take(changes);
        float[][] resumed = lab.Run(lab.Model, taken);
        TransformLab.AssertSameBits(folded, resumed);
    }

    [Theory]
    [InlineData("models/llama_bias", ScaleType.BFloat16, 3)]
    [InlineData("models/qwen3_moe", ScaleType.Float16, 3)]
    [InlineData("models/gemma", ScaleType.BFloat16, 3)]
    // Weights 1 + w so near to 0 that no bfloat16 w has them, and weights beyond the range of a half.
    [InlineData("models/gemma", ScaleType.BFloat16, 1e4)]
    [InlineData("models/llama_bias", ScaleType.Float16, 1e6)]
    public void NormsOfSixteenBitsLoseNothing(string name, ScaleType type, double spread)
    {
        using var lab = new TransformLab(name);
        IDecoderBlock[] blocks = lab.Blocks(lab.Model);
        float[][] before = lab.Run(lab.Model, blocks);
        SeededRandom random = SeededRandom.Derive(5);
        foreach (IDecoderBlock block in blocks)
        {
            // Routers keep digits of their own.
            block.StoredRounding = (tensor, value) => tensor.Contains("norm", StringComparison.Ordinal) ? StorageScale.RoundAny(value, type) : value;
            foreach (FoldSite site in block.Folds.Sites.Where(site => site.Kind == FoldKind.Norm))
                site.Fold([.. Enumerable.Range(0, site.Channels).Select(_ => (float)Math.Exp(Math.Log(spread) * ((2 * random.NextUniform()) - 1)))]);
            ChangedTensors changes = block.Changes(weights: false);
            foreach (string norm in changes.Names.Where(tensor => tensor.Contains("norm", StringComparison.Ordinal)).Some())
                Assert.All(changes.Read(norm), value => Assert.True(float.IsFinite(value) && value == StorageScale.RoundAny(value, type)));
        }
        float[][] after = lab.Run(lab.Model, blocks);
        TransformLab.AssertSameButForRounding(before, after);
    }

    [Fact]
    public void AModelThatNoFamilyKnowsIsRefused()
    {
        using var folder = new TemporaryFolder();
        FamilyModels.Write("models/qwen3", folder.Path);
        string config = folder.File("config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"qwen3\"", "\"qwen9\"", StringComparison.Ordinal));
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var model = new CausalModel(CheckpointOpener.Open(folder.Path, use: ModelUse.Weights), device);
        BlockFolds folds = model.FoldsOf(0);
        Assert.Empty(folds.Sites);
        Assert.NotEmpty(folds.Refused);
        Assert.All(folds.Refused, refused => Assert.Contains("no family knows model_type 'qwen9'", refused.Reason, StringComparison.Ordinal));
        Assert.Contains("qwen9", model.StreamRotationObstacle()!, StringComparison.Ordinal);
    }

    [Fact]
    public void PagedExpertsFoldAsWholeOnes()
    {
        using var lab = new TransformLab("models/qwen3_moe");
        float[][] whole = Folded();
        lab.Model.Paging = WeightPaging.Experts;
        Assert.Equal(whole, Folded());

        float[][] Folded()
        {
            IDecoderBlock[] blocks = lab.Blocks(lab.Model);
            ulong seed = 0;
            foreach (FoldSite site in blocks.SelectMany(block => block.Folds.Sites)) site.Fold(TransformLab.Factors(site.Channels, ++seed, powersOfTwo: false));
            return lab.Run(lab.Model, blocks);
        }
    }

    [Fact]
    public void FactorsAreChecked()
    {
        using var lab = new TransformLab("models/llama_bias");
        FoldSite site = lab.Blocks(lab.Model)[0].Folds.Sites[0];
        Assert.Contains("3 factors for 256 channels", Assert.Throws<ArgumentException>(() => site.Fold([1, 2, 3])).Message, StringComparison.Ordinal);
        foreach (float bad in new[] { 0, -1, float.NaN, float.PositiveInfinity })
        {
            float[] factors = [.. Enumerable.Repeat(1f, 255), bad];
            Assert.Contains("factor 255 is", Assert.Throws<ArgumentException>(() => site.Fold(factors)).Message, StringComparison.Ordinal);
        }
    }

    // Every linear reads at one site, or is refused with a reason.
    private static void CheckCover(IDecoderBlock block)
    {
        int[] covered = [.. block.Folds.Sites.SelectMany(site => site.Readers), .. block.Folds.Refused.Select(refused => refused.Slot)];
        Assert.Equal(Enumerable.Range(0, block.Slots.Count), covered.Order());
        Assert.All(block.Folds.Sites, site => Assert.Equal(site.Slots, site.Readers.Select(reader => block.Slots[reader])));
        Assert.All(block.Folds.Refused, refused => Assert.True(refused.Reason.Length > 10 && refused.Name == block.Slots[refused.Slot].Name));
        Assert.All(block.Folds.Refused, refused => Assert.DoesNotContain("names no exact fold", refused.Reason, StringComparison.Ordinal));
    }

    private static IEnumerable<float[]> PartsOf(FoldSite site)
    {
        if (site.Norm is { } norm)
        {
            yield return norm.Weight.ToArray();
            if (norm.Bias is { } bias) yield return bias.ToArray();
        }
        if (site.Rows is { } rows)
        {
            yield return rows.WeightValues();
            if (rows.Bias is { } bias) yield return bias.ToArray();
        }
        foreach (LinearSlot slot in site.Slots.Concat(site.Kept)) yield return slot.WeightValues();
        foreach (Tensor matrix in site.Matrices) yield return matrix.ToArray();
    }

    private static HashSet<string> ChangedNames(IDecoderBlock block)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (FoldSite site in block.Folds.Sites)
        {
            if (site.Norm is { } norm)
            {
                names.Add($"{block.Name}.{site.Source}.weight");
                if (norm.Bias is not null) names.Add($"{block.Name}.{site.Source}.bias");
            }
            if (site.Rows is { } rows)
            {
                names.Add($"{block.Name}.{rows.Name}.weight");
                if (rows.Bias is not null) names.Add($"{block.Name}.{rows.Name}.bias");
            }
            foreach (LinearSlot slot in site.Slots) names.Add($"{block.Name}.{slot.Name}.weight");
            foreach (LinearSlot slot in site.Kept) names.Add($"{block.Name}.{slot.Name}.weight");
        }
        return names;
    }

    private static string[] Stored(string folder)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "model.safetensors"));
        return [.. file.Names.Order(StringComparer.Ordinal).Select(name => $"{name} [{string.Join(", ", file.ShapeOf(name))}]")];
    }
}
