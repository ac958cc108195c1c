using System.Text.Json;
using LowRankQuant.Formats.Affine;
using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Storage;

/// <summary>
/// Blocks as the tensors that the final checkpoint holds: compressed-tensors <c>pack-quantized</c>, <see cref="FloatTensors"/> for weights on grids of floats,
/// <see cref="AffineTensors"/> for weights with float minima, or <see cref="TwoLevelTensors"/> for weights on two-level grids. A low-rank branch lies beside its weight as
/// <c>MODULE.branch_a</c> [rank, in] and <c>MODULE.branch_b</c> [out, rank], F16 or BF16, or F32 where its elements are 8-bit codes times a scale.
/// </summary>
public sealed class CompressedBlockStore : IBlockStore
{
    /// <summary>Ends of the names of a branch's factors.</summary>
    public const string FactorA = ".branch_a", FactorB = ".branch_b";

    private readonly Scheme _scheme;
    private readonly ModelPlan? _plan;
    private readonly int _factorBits;
    private readonly Dictionary<UniformGrid, CompressedTensorsConfig> _configs = [];

    /// <summary>A store.</summary>
    /// <param name="scheme">The grids of all weights, but for the widths of the plan.</param>
    /// <param name="plan">Widths by module; null for one width.</param>
    /// <param name="factorBits">Bits of an element of a branch's factors.</param>
    public CompressedBlockStore(Scheme scheme, ModelPlan? plan = null, int factorBits = 16)
    {
        _scheme = scheme;
        _plan = plan;
        _factorBits = factorBits;
    }

    /// <summary>The grid of a module.</summary>
    /// <param name="block">Name of its block, such as <c>model.layers.0</c>.</param>
    /// <param name="linear">Name within the block.</param>
    public WeightGrid GridOf(string block, string linear) => _scheme.GridOf($"{block}.{linear}", _plan?.Find($"{block}.{linear}")?.Grid);

    /// <inheritdoc/>
    public IReadOnlyList<PendingTensor> Tensors(IReadOnlyList<(string Name, QuantizedWeight Weight)> weights)
    {
        var tensors = new List<PendingTensor>();
        foreach ((string name, QuantizedWeight weight) in weights)
        {
            tensors.AddRange(weight switch
            {
                UniformWeight uniform => CompressedTensorsWriter.PackQuantized(name, uniform),
                FloatWeight floats => FloatTensors.Write(name, floats),
                AffineWeight affine => AffineTensors.Write(name, affine),
                TwoLevelWeight twoLevel => TwoLevelTensors.Write(name, twoLevel),
                _ => throw new NotSupportedException($"{name}: {weight.Grid} has no place in block files."),
            });
            if (weight.Branch is not { } branch) continue;
            tensors.Add(PendingTensor.FromSingles(name + FactorA, TypeOf(branch.A, _factorBits), [branch.Rank, weight.InFeatures], branch.A));
            tensors.Add(PendingTensor.FromSingles(name + FactorB, TypeOf(branch.B, _factorBits), [weight.OutFeatures, branch.Rank], branch.B));
        }
        return tensors;
    }

    /// <inheritdoc/>
    public IReadOnlyList<QuantizedWeight> Read(string file, IDecoderBlock block)
    {
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        return [.. block.Slots.Select(slot => ReadOne(stored, block.Name, slot.Name))];
    }

    /// <summary>Reads one weight of a block file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="block">Name of the block, such as <c>model.layers.0</c>.</param>
    /// <param name="linear">Name within the block.</param>
    public QuantizedWeight ReadOne(ISafetensorsSource file, string block, string linear)
    {
        string module = $"{block}.{linear}";
        return ReadModule(file, module, GridOf(block, linear)).WithBranch(ReadBranch(file, module));
    }

    /// <summary>Reads a weight without a branch.</summary>
    /// <param name="file">The file.</param>
    /// <param name="module">Module path.</param>
    /// <param name="grid">Its grid.</param>
    public QuantizedWeight ReadModule(ISafetensorsSource file, string module, WeightGrid grid)
    {
        if (grid is FloatGrid floats) return FloatTensors.Read(file, module, floats);
        if (grid is AffineGrid affine) return AffineTensors.Read(file, module, affine);
        if (grid is not UniformGrid uniform) return TwoLevelTensors.Read(file, module);
        CompressedTensorsConfig config = ConfigOf(uniform);
        return CompressedTensorsReader.Read(file, module, config.Schemes[0], config);
    }

    /// <summary>Rank of a module's branch in a block file; 0 without.</summary>
    public static int RankOf(ISafetensorsSource file, string module) => file.Contains(module + FactorA) ? (int)file.ShapeOf(module + FactorA)[0] : 0;

    private LowRankBranch? ReadBranch(ISafetensorsSource file, string module)
    {
        int rank = RankOf(file, module);
        return rank == 0 ? null : new LowRankBranch(rank, Factor(file, module + FactorA), Factor(file, module + FactorB), _factorBits);
    }

    /// <summary>The type in which a factor lies in a block file; nothing is lost by it.</summary>
    internal static SafetensorsType TypeOf(float[] factor, int factorBits) => factorBits == 16 ? BranchFileWriter.ExactType(factor) : SafetensorsType.F32;

    /// <summary>A factor of a branch as it is stored.</summary>
    internal static float[] Factor(ISafetensorsSource file, string name)
    {
        var values = new float[file.ShapeOf(name)[0] * file.ShapeOf(name)[1]];
        file.ReadSingles(name, values);
        return values;
    }

    private CompressedTensorsConfig ConfigOf(UniformGrid grid)
    {
        if (_configs.TryGetValue(grid, out CompressedTensorsConfig? known)) return known;
        using JsonDocument document = JsonDocument.Parse(CompressedTensorsWriter.BuildConfig([new QuantizedModule("any", grid)], []).ToJsonString());
        return _configs[grid] = CompressedTensorsConfig.Parse(document.RootElement, "block files");
    }
}
