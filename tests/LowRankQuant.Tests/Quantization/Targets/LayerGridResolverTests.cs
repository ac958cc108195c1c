using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

public sealed class LayerGridResolverTests
{
    private static readonly RecipeRequest Rounded = new() { Method = "rtn", Bits = 4, GroupSize = 32 };

    [Fact]
    public void NamedLayersGetTheirGridAndTheRestTheUsualOne()
    {
        Scheme scheme = Resolve(Rounded with { LayerGrids = ["down_proj=q4_k", "self_attn.v_proj=8:symmetric", "o_proj=5:64:asymmetric", "gate_proj=3:channel"] }).Recipe.Scheme;
        Assert.Equal(new UniformGrid(4, false, Granularity.Group, 32), scheme.For("self_attn.q_proj").Grid);
        Assert.Equal(TwoLevelGrid.Q4K, scheme.For("mlp.down_proj").Grid);
        Assert.Equal(new UniformGrid(8, true, Granularity.Group, 32), scheme.For("self_attn.v_proj").Grid);
        Assert.Equal(new UniformGrid(5, false, Granularity.Group, 64), scheme.For("self_attn.o_proj").Grid);
        Assert.Equal(new UniformGrid(3, false, Granularity.Channel), scheme.For("mlp.gate_proj").Grid);
        Assert.Equal((ScaleType.Float16, GridStart.MinMax), (scheme.ScaleType, scheme.Start));
        Assert.Equal(GridStart.Search, scheme.For("mlp.down_proj").Start);
    }

    [Fact]
    public void ALayerWithTheUsualGridIsNoException() =>
        Assert.Null(Resolve(Rounded with { LayerGrids = ["down_proj=4", "up_proj=4:32:asymmetric"] }).Recipe.Layers);

    // Rows of 576 have no K block; only down_proj, with 1536 inputs, has, and it alone is asked to use one.
    [Fact]
    public void OnlyTheLayersThatUseAGridHaveToFitIt()
    {
        RecipeRequest mixed = Rounded with { Symmetric = true, LayerGrids = ["down_proj=q3_k"], Target = Target.LlamaCpp };
        Assert.Equal(["mlp.down_proj"], Resolve(mixed).Recipe.Layers!.Keys);
        RecipeRequest turned = new() { Method = "rtn", Grid = "q3_k", LayerGrids = ["q_proj=4:32", "k_proj=4:32", "v_proj=4:32", "o_proj=4:32", "gate_proj=4:32", "up_proj=4:32"] };
        Assert.Equal(new UniformGrid(4, true, Granularity.Group, 32), Resolve(turned).Recipe.Scheme.For("mlp.up_proj").Grid);
        Assert.Contains("up_proj", Assert.Single(Problems(mixed with { LayerGrids = ["up_proj=q3_k"] })), StringComparison.Ordinal);
        Assert.Contains("does not divide rows of 576", Assert.Single(Problems(mixed with { LayerGrids = ["up_proj=q3_k"], Target = null })), StringComparison.Ordinal);
        Assert.Contains("does not divide rows of 576", Assert.Single(Problems(Rounded with { LayerGrids = ["up_proj=4:128"] })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("down_proj", "NAME=GRID")]
    [InlineData("down_proj=", "NAME=GRID")]
    [InlineData("=4", "NAME=GRID")]
    [InlineData("down_proj=q9_k", "NAME=GRID")]
    [InlineData("down_proj=1", "NAME=GRID")]
    [InlineData("down_proj=4:0", "NAME=GRID")]
    [InlineData("down_proj=4:tensor", "NAME=GRID")]
    [InlineData("proj=4", "the blocks of the model have no proj")]
    [InlineData("mlp=4", "they have self_attn.q_proj")]
    public void WhatCannotBeReadIsRefused(string item, string reason) =>
        Assert.Contains(reason, Assert.Single(Problems(Rounded with { LayerGrids = [item] })), StringComparison.Ordinal);

    [Fact]
    public void ContradictionsAreToldAtOnce()
    {
        IReadOnlyList<string> problems = Problems(Rounded with
        {
            Method = "flrq+",
            HasCalibration = true,
            ScaleType = ScaleType.BFloat16,
            LayerGrids = ["down_proj=q4_k", "mlp.down_proj=4"],
            Correction = new CorrectionRequest { TargetBits = 5 },
        });
        Assert.Single(problems, problem => problem.Contains("has a grid already", StringComparison.Ordinal));
        Assert.Single(problems, problem => problem.Contains("--scale-dtype other than fp16", StringComparison.Ordinal));
        Assert.Single(problems, problem => problem.Contains("--target-bits", StringComparison.Ordinal));
    }

    private static IReadOnlyList<string> Problems(RecipeRequest request) => Assert.Throws<RecipeException>(() => Resolve(request)).Problems;

    private static ResolvedRecipe Resolve(RecipeRequest request)
    {
        DecoderConfig model = RecipeResolverTests.Model() with { HiddenSize = 576 };
        LinearShape[] linears =
        [
            new("self_attn.q_proj", 576, 576), new("self_attn.k_proj", 192, 576), new("self_attn.v_proj", 192, 576), new("self_attn.o_proj", 576, 576),
            new("mlp.gate_proj", 1536, 576), new("mlp.up_proj", 1536, 576), new("mlp.down_proj", 576, 1536),
        ];
        return RecipeResolver.Resolve(request, model, ModelLayout.OfBlock(linears, model.Layers), ScaleType.BFloat16);
    }
}
