using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>Quantizers of activations and of the key-value cache that a compressed-tensors checkpoint asks its engine for.</summary>
/// <param name="Description">What they are, for messages.</param>
/// <param name="Config">The checkpoint's configuration.</param>
/// <param name="Tensors">Their stored scales and zero points, to be copied.</param>
/// <param name="WeightsOnlyTarget">The container, as <c>--to</c> names it, that holds the weights without them.</param>
public sealed record RuntimeQuantizers(string Description, CompressedTensorsConfig Config, IReadOnlyList<PendingTensor> Tensors, string WeightsOnlyTarget);
