using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

public sealed class TargetRulesTests
{
    private static readonly UniformGrid Four = new(4, false, Granularity.Channel);

    public static TheoryData<Target, WeightGrid, int, string, double, int?> Fits => new()
    {
        { Target.LlamaCpp, Four, 512, "Q4_K", 4.5, null },
        { Target.LlamaCpp, new UniformGrid(3, true, Granularity.Channel), 512, "Q3_K", 3.4375, null },
        { Target.LlamaCpp, new UniformGrid(2, false, Granularity.Channel), 512, "Q2_K", 2.625, null },
        { Target.LlamaCpp, TwoLevelGrid.Q3K, 512, "Q3_K", 3.4375, null },
        // Rows that K blocks do not divide: a minimum of its own, and a scale short enough for scale times zero point to be a half.
        { Target.LlamaCpp, new UniformGrid(4, false, Granularity.Group, 64), 576, "Q4_1", 5, 7 },
        // A row of 700 bits fills 22 words, and the one zero point a byte.
        { Target.CompressedTensors, new UniformGrid(7, false, Granularity.Tensor), 100, "compressed-tensors", 7.04 + (24 / 25600.0), null },
        // With the group of every column, 32 bits over 256 rows.
        { Target.Gptq, new UniformGrid(3, false, Granularity.Group, 64), 512, "gptq", 3 + (19 / 64.0) + (32 / 256.0), null },
        { Target.Awq, new UniformGrid(4, true, Granularity.Group, 128), 512, "awq", 4 + (20 / 128.0), null },
        { Target.Mlx, Four, 512, "mlx", 4.25, 7 },
        { Target.Vllm, new UniformGrid(4, true, Granularity.Group, 128), 512, "vllm", 4.125, null },
        { Target.Vllm, new UniformGrid(3, false, Granularity.Channel), 576, "vllm", 3 + (19 / 576.0), null },
    };

    public static TheoryData<Target, WeightGrid, int, string, WeightGrid?> Misfits => new()
    {
        { Target.LlamaCpp, new UniformGrid(8, false, Granularity.Channel), 512, "codes less zero points reach", new UniformGrid(8, true, Granularity.Channel) },
        { Target.LlamaCpp, new UniformGrid(4, false, Granularity.Group, 48), 96, "groups of 48", new UniformGrid(4, false, Granularity.Group, 32) },
        { Target.LlamaCpp, Four, 100, "rows of 100 do not divide", null },
        { Target.Gptq, new UniformGrid(5, false, Granularity.Channel), 512, "2, 3, 4 or 8 bits, not 5", new UniformGrid(8, false, Granularity.Channel) },
        { Target.Awq, new UniformGrid(3, false, Granularity.Group, 64), 512, "awq stores 4 bits, not 3", new UniformGrid(4, false, Granularity.Group, 64) },
        { Target.Mlx, new UniformGrid(7, false, Granularity.Group, 64), 512, "not 7", new UniformGrid(8, false, Granularity.Group, 64) },
        { Target.Vllm, TwoLevelGrid.Q4K, 512, "no place for scales in two levels", new UniformGrid(4, false, Granularity.Group, 32) },
        { Target.Vllm, new UniformGrid(4, false, Granularity.Group, 16), 512, "groups of 32, 64, 128 or whole rows", new UniformGrid(4, false, Granularity.Group, 32) },
        { Target.Vllm, Four, 576, "inputs in multiples of 128, and there are 576", new UniformGrid(5, false, Granularity.Channel) },
    };

    [Theory]
    [MemberData(nameof(Fits))]
    public void GridsThatFitAreHeldAtTheirCost(Target target, WeightGrid grid, int inFeatures, string container, double bits, int? digits)
    {
        TargetFit fit = TargetFit.Of(target, "mlp.down_proj", 256, inFeatures, grid, ScaleType.Float16);
        Assert.Null(fit.Misfit);
        Assert.Equal(container, fit.Container);
        Assert.Equal(bits, fit.BitsPerWeight, 1e-9);
        Assert.Equal(digits, fit.ScaleDigits);
    }

    [Theory]
    [MemberData(nameof(Misfits))]
    public void MisfitsNameTheRuleAndTheNearestGrid(Target target, WeightGrid grid, int inFeatures, string reason, WeightGrid? nearest)
    {
        TargetFit fit = TargetFit.Of(target, "mlp.down_proj", 256, inFeatures, grid, ScaleType.Float16);
        Assert.Contains(reason, fit.Misfit, StringComparison.Ordinal);
        Assert.Equal(nearest, fit.Nearest);
        if (nearest is null) return;
        Assert.Contains(FormattableString.Invariant($"{nearest}"), fit.Remedy, StringComparison.Ordinal);
        TargetFit again = TargetFit.Of(target, "mlp.down_proj", 256, inFeatures, nearest, ScaleType.Float16);
        Assert.Null(again.Misfit);
        Assert.Equal(again.BitsPerWeight, fit.BitsPerWeight, 1e-9);
    }

    /// <summary>The sizes of DeepSeek-V3 in eight shards: what makes latents stays whole, and is one matrix of 2112 rows.</summary>
    [Theory]
    [InlineData("self_attn.q_a_proj", 1536, 2112, 7168, null)]
    [InlineData("self_attn.kv_a_proj_with_mqa", 576, 2112, 7168, null)]
    [InlineData("self_attn.q_b_proj", 24576, 24576, 1536, null)]
    [InlineData("self_attn.kv_b_proj", 32768, 32768, 512, null)]
    [InlineData("self_attn.o_proj", 7168, 7168, 16384, null)]
    [InlineData("self_attn.kv_a_proj_with_mqa", 580, 2116, 7168, "outputs in multiples of 64, and there are 2116")]
    [InlineData("self_attn.kv_b_proj", 32800, 32800, 512, "and there are 4100 in each of 8 shards")]
    [InlineData("self_attn.kv_b_proj", 32772, 32772, 512, "its 32772 outputs do not divide into 8 shards")]
    public void LatentAttentionIsCutByHeads(string name, int outFeatures, int fused, int inFeatures, string? misfit)
    {
        var layer = new TargetLayer(name, outFeatures, inFeatures, Four, ScaleType.Float16) { TensorParallel = 8, FusedOutFeatures = fused };
        string? found = VllmRules.Misfit(layer, new UniformGrid(4, true, Granularity.Group, 128));
        if (misfit is null) Assert.Null(found);
        else Assert.Contains(misfit, found, StringComparison.Ordinal);
    }

    [Fact]
    public void ShortScalesMakeScaleTimesZeroPointExact()
    {
        foreach (float scale in new[] { 0.0123456f, 1.7e-3f, 0.9f, 3.3e-2f })
        {
            float kept = StorageScale.Round(scale, ScaleType.Float16, 7);
            Assert.Equal(scale, kept, scale / 128);
            for (int zero = 0; zero < 16; zero++) Assert.Equal(kept * zero, (float)(Half)(kept * zero));
        }
    }

    [Fact]
    public void NarrowGridsInWideBlocksSaySo()
    {
        TargetFit fit = TargetFit.Of(Target.LlamaCpp, "mlp.down_proj", 256, 512, new UniformGrid(2, false, Granularity.Group, 32), ScaleType.Float16);
        Assert.Null(fit.Misfit);
        Assert.Contains("takes 2.563 bits per weight here and 4.5 in llama.cpp's Q4_0 blocks", fit.Note, StringComparison.Ordinal);
    }
}
