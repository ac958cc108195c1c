using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Parts of a model from a checkpoint, checked as they are loaded.</summary>
/// <param name="checkpoint">The checkpoint.</param>
/// <param name="device">Where tensors go.</param>
/// <param name="tables">Gives the tables of a rotation.</param>
internal sealed class LoadedTensors(ICheckpoint checkpoint, Device device, Func<RopeConfig, RopeTables> tables) : ITensorSource
{
    /// <inheritdoc/>
    public Device Device => device;

    /// <summary>Whether weights of experts stay in their files until they are computed with.</summary>
    public bool PagesExperts { get; set; }

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
        return isExpert && PagesExperts ? new PagedWeight(Load) : new DenseWeight(Load());
    }

    /// <inheritdoc/>
    public RopeTables Tables(RopeConfig rope) => tables(rope);

    /// <inheritdoc/>
    public void NoteMissingBias(string module, string key)
    {
    }
}
