using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Parts of a model from a checkpoint, checked as they are loaded.</summary>
/// <param name="checkpoint">The checkpoint.</param>
/// <param name="device">Where tensors go.</param>
/// <param name="tables">Gives the tables of a rotation.</param>
internal sealed class LoadedTensors(ICheckpoint checkpoint, Device device, Func<RopeConfig, RopeTables> tables) : ITensorSource
{
    /// <inheritdoc/>
    public Device Device => device;

    /// <summary>Which weights stay in their files until they are computed with.</summary>
    public WeightPaging Paging { get; set; }

    /// <summary>Which linears are quantized; null for those of the family.</summary>
    public LinearSelection? Selection { get; set; }

    /// <summary>Weights that stay codes where they are stored as such on a uniform grid, told by their names; null for none.</summary>
    public Func<string, bool>? KeepsCodes { get; set; }

    /// <inheritdoc/>
    public bool IsStored(string name) => checkpoint.Layout.Find(name) is { View: null };

    /// <inheritdoc/>
    public Tensor Load(TensorSpec spec) => checkpoint.Load(device, spec.Name, [.. spec.Shape]);

    /// <inheritdoc/>
    public Tensor Ones(int size)
    {
        Tensor ones = device.Empty(size);
        device.Kernels.Fill(ones, 1);
        return ones;
    }

    /// <inheritdoc/>
    public IWeightSource LoadWeight(TensorSpec spec, bool isExpert)
    {
        Tensor Load() => checkpoint.Load(device, spec.Name, [.. spec.Shape]);
        if (Paging == WeightPaging.Linears || (isExpert && Paging == WeightPaging.Experts)) return new PagedWeight(Load);
        return KeepsCodes?.Invoke(spec.Name) == true && checkpoint.ReadQuantized(spec.Name) is UniformWeight { Branch: null } codes ? new CodedWeight(codes) : new DenseWeight(Load());
    }

    /// <inheritdoc/>
    public bool IsKept(string block, string linear, bool byDefault) => Selection?.IsKept(block, linear, byDefault) ?? byDefault;

    /// <inheritdoc/>
    public RopeTables Tables(RopeConfig rope) => tables(rope);

    /// <inheritdoc/>
    public void NoteMissingBias(string module, string key)
    {
    }
}
