using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Awq;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Tests.Quantization.Awq;

/// <summary>Parts of AWQ that the reference's blocks do not show.</summary>
public sealed class AwqUnitTests
{
    private const int Windows = 2;
    private static readonly Scheme Scheme = new(new UniformGrid(3, false, Granularity.Group, 32), GridStart.MinMax, ScaleType.Float16);

    [Fact]
    public void CandidatesBeginWithWhatChangesNothing()
    {
        foreach (AwqScaling scaling in Enum.GetValues<AwqScaling>())
        {
            AwqCandidate[] candidates = AwqCandidate.All(new AwqOptions { Scaling = scaling, Candidates = 7 });
            Assert.Equal(7, candidates.Length);
            Assert.Equal(0, candidates[0].Ratio);
            Assert.Equal(scaling == AwqScaling.AutoAwq ? 6.0 / 7 : 1, candidates[^1].Ratio, 1e-12);
        }
        Assert.Equal([1f, 1f, 1f], AwqFactors.Of([3, 0, 5], [0.1, 0.2, 0.3], new AwqCandidate(0, Duo: false)));
    }

    [Fact]
    public void ChannelsWithoutInputsKeepPositiveFactors()
    {
        Assert.All(AwqFactors.Of([0, 0, 0], [0, 0, 0], new AwqCandidate(0.5, Duo: true)), factor => Assert.Equal(1, factor));
        Assert.All(AwqFactors.Of([0, 1, double.NaN], [0.1, 0.2, 0.3], new AwqCandidate(0.5, Duo: true)), factor => Assert.True(factor > 0 && float.IsFinite(factor)));
        float[] factors = AwqFactors.Of([0, 1, 4], [1, 1, 1], new AwqCandidate(0.5, Duo: false));
        Assert.Equal(1, factors.Max() * factors.Min(), 1e-5f);
        Assert.Equal(2, factors[2] / factors[1], 1e-5f);
    }

    [Fact]
    public void ASubLayerEndsWhereItWritesToTheStream()
    {
        using BlockScene scene = BlockScene.TinyStories(Windows);
        IReadOnlyList<InputStage> stages = InputStages.Find(scene.Block, () => scene.Inputs.Look(scene.Block, 0, 1, (_, _) => { }, default, batch: 1));
        FoldSite[] norms = [.. scene.Block.Folds.Sites.Where(site => site.Kind == FoldKind.Norm)];
        using var attention = new SubLayerOutput(scene.Block, norms[0], stages, scene.Inputs, new LookedAt(Windows), default);
        using var mlp = new SubLayerOutput(scene.Block, norms[1], stages, scene.Inputs, new LookedAt(Windows), default);
        Assert.Equal(["self_attn.o_proj"], attention.Writers);
        // Nothing comes behind the MLP: the block's own output differs by what it gives.
        Assert.Empty(mlp.Writers);
        Assert.Equal((0.0, 0.0), (attention.Error(), mlp.Error()));
        ChangedBy("v", () => Assert.True(attention.Error() > 0));
        ChangedBy("up", () => Assert.Equal((0.0, true), (attention.Error(), mlp.Error() > 0)));
        Assert.Equal((0.0, 0.0), (attention.Error(), mlp.Error()));

        void ChangedBy(string linear, Action check)
        {
            LinearSlot slot = scene.Slot(linear);
            float[] changed = slot.WeightValues();
            changed[0] += 1;
            IWeightSource old = slot.Exchange(new DenseWeight(scene.Device.From(changed, slot.OutFeatures, slot.InFeatures)));
            check();
            slot.Exchange(old).Dispose();
        }
    }

    [Theory]
    [InlineData(AwqSites.All, 4)]
    [InlineData(AwqSites.Ungrouped, 3)]
    [InlineData(AwqSites.Norms, 2)]
    public void ScalesAreKeptAndRestored(AwqSites sites, int count)
    {
        using BlockScene scene = BlockScene.TinyStories(Windows);
        var transform = new AwqTransform(new AwqOptions { Candidates = 12, Sites = sites });
        BlockTransformResult result = transform.Apply(new BlockTransformContext { Block = scene.Block, Inputs = scene.Inputs, Scheme = Scheme });
        Assert.Equal(count, result.Sites.Count);
        Assert.All(result.Sites, site => Assert.StartsWith("ratio ", site.Chosen, StringComparison.Ordinal));
        Assert.Equal(sites == AwqSites.Ungrouped ? new[] { "self_attn.o_proj" } : [], result.Refused.Select(refused => refused.Name));
        float[][] folded = [.. scene.Block.Slots.Select(slot => slot.WeightValues())];
        float[] norm = result.Changes.Read("model.layers.0.input_layernorm.weight");
        scene.Reload();
        Assert.NotEqual(folded, scene.Block.Slots.Select(slot => slot.WeightValues()));
        transform.Restore(scene.Block, result.State);
        Assert.Equal(folded, scene.Block.Slots.Select(slot => slot.WeightValues()));
        Assert.Equal(norm, scene.Block.Changes(weights: false).Read("model.layers.0.input_layernorm.weight"));
        scene.Reload();
        Assert.Contains("has no 128 factors", Assert.Throws<TransformException>(() => transform.Restore(scene.Block, new Dictionary<string, float[]>())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.q_proj", true)]
    [InlineData("model.layers.0.self_attn.k_proj", true)]
    [InlineData("model.layers.0.linear_attn.in_proj_qkvz", true)]
    [InlineData("model.layers.0.self_attn.kv_b_proj", false)]
    [InlineData("model.layers.0.self_attn.v_proj", false)]
    [InlineData("model.layers.0.mlp.down_proj", false)]
    [InlineData("lm_head", false)]
    public void QueriesAndKeysAreNotClipped(string module, bool scored) => Assert.Equal(scored, AwqSolver.IsScored(module));
}
