using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Quantization.Transforms.Rotation;
using LowRankQuant.Quantization.Transforms.SmoothQuant;

namespace LowRankQuant.Quantization;

/// <summary>The transforms of this version.</summary>
public static class BuiltInTransforms
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<TransformDeclaration> All { get; } = [new SmoothQuantDeclaration(), new RotationDeclaration()];
}
