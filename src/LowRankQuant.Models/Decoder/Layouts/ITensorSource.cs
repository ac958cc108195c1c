using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Layouts;

/// <summary>Where the parts of a model get their tensors from: a checkpoint, or a list that only notes what is asked for.</summary>
internal interface ITensorSource
{
    /// <summary>Where tensors go.</summary>
    Device Device { get; }

    /// <summary>Whether files hold a tensor under this name; families ask it where a model may be stored in several forms.</summary>
    bool IsStored(string name);

    /// <summary>A tensor; the caller's.</summary>
    /// <param name="spec">Name, shape and place.</param>
    Tensor Load(TensorSpec spec);

    /// <summary>A vector of ones; the caller's.</summary>
    Tensor Ones(int size);

    /// <summary>The weight of a linear; the caller's.</summary>
    /// <param name="spec">Name, shape and place.</param>
    /// <param name="isExpert">Whether the linear belongs to an expert.</param>
    IWeightSource LoadWeight(TensorSpec spec, bool isExpert);

    /// <summary>Whether a linear stays in its own type.</summary>
    /// <param name="block">Name of its block.</param>
    /// <param name="linear">Its name within the block.</param>
    /// <param name="byDefault">Whether the family leaves it so.</param>
    bool IsKept(string block, string linear, bool byDefault) => byDefault;

    /// <summary>Tables of angles, shared by all blocks that rotate alike.</summary>
    RopeTables Tables(RopeConfig rope);

    /// <summary>Told about a linear without a bias that a key of the configuration could give one.</summary>
    void NoteMissingBias(string module, string key);
}
