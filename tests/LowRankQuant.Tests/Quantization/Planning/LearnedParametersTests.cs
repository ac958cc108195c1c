using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Tests.Quantization.Planning;

/// <summary>What a method says it learns of a layer is what its training takes from the arena, whatever the groups are.</summary>
public sealed class LearnedParametersTests : IDisposable
{
    private readonly PlannedDemo _demo = new();

    public void Dispose() => _demo.Dispose();

    [Theory]
    [InlineData("lrq", "w3a16")]
    [InlineData("lrq", "w3a16-g64")]
    [InlineData("lrq", "nvfp4a16")]
    [InlineData("lrq", "mxfp4a16")]
    [InlineData("lrq-hybrid", "w3a16-g32")]
    [InlineData("flexround", "w3a16")]
    [InlineData("flexround", "w2a16-g64")]
    [InlineData("autoround", "w3a16")]
    [InlineData("autoround", "w2a16-g64")]
    [InlineData("lrq+", "w3a16")]
    [InlineData("lrq+", "w2a16-g64")]
    [InlineData("lrq+", "nvfp4a16")]
    public void AreThoseOfTheArena(string method, string scheme)
    {
        Recipe recipe = _demo.Recipe(scheme, method);
        IRoundingForm form = ((ReconstructionSettings)recipe.Method).Form;
        using IDecoderBlock block = _demo.Model.LoadBlock(0);
        long counted = block.Slots.Sum(slot => Counted(recipe, slot)), taken = 0;
        using var arena = new ParameterArena(_demo.Model.Device, counted, block.Slots.Count * form.MostParameters);
        foreach (LinearSlot slot in block.Slots)
        {
            Scheme own = recipe.Scheme.For(slot.Name);
            using ILearnedRounding learned = form.Create(slot, LayerStart.OfWeight(slot, own, _demo.Model.Device.HostWorkers), own, arena, 1);
            taken += Variables(learned).OfType<Variable>().Where(variable => variable.RequiresGradient).Sum(variable => (long)variable.Value.Count);
        }
        Assert.Equal(counted, taken);
    }

    /// <summary>Two ends of every group, or its step, and nothing else depends on how many groups there are.</summary>
    [Theory]
    [InlineData("autoround", 2)]
    [InlineData("lrq", 1)]
    [InlineData("flexround", 1)]
    [InlineData("rtn", 0)]
    public void GroupsCount(string method, int ofEach)
    {
        Recipe channel = _demo.Recipe("w3a16", method), groups = _demo.Recipe("w3a16-g64", method);
        using IDecoderBlock block = _demo.Model.LoadBlock(0);
        foreach (LinearSlot slot in block.Slots)
            Assert.Equal(ofEach * slot.OutFeatures * ((slot.InFeatures / 64) - 1L), Counted(groups, slot) - Counted(channel, slot));
    }

    private static long Counted(Recipe recipe, LinearSlot slot)
    {
        WeightGrid grid = recipe.Scheme.For(slot.Name).Grid;
        return recipe.Method.LearnedParameters(slot.OutFeatures, slot.InFeatures, grid);
    }

    private static Variable?[] Variables(ILearnedRounding learned) => learned switch
    {
        LearnedScale { Parameters: var scale } => [scale.LogScale, scale.Left, scale.Right, scale.Full, scale.RowOffset, scale.ColumnOffset, scale.Offset, scale.ZeroPoint],
        LearnedOffsets { Parameters: var offsets } => [offsets.Offset, offsets.Low, offsets.High],
        _ => throw new ArgumentOutOfRangeException(nameof(learned), learned, "Unknown form."),
    };
}
