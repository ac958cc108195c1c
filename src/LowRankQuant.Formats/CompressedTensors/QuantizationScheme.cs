namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>One entry of <c>config_groups</c>: which modules, and how their weights and activations are quantized.</summary>
/// <param name="Name">Key of the group, such as <c>group_0</c>.</param>
/// <param name="Targets">Module names, module classes such as <c>Linear</c>, or <c>re:</c> patterns.</param>
/// <param name="Weights">Weight quantization, or null.</param>
/// <param name="InputActivations">Input quantization, or null. A caller without such a quantizer must refuse it by name.</param>
/// <param name="OutputActivations">Output quantization, or null.</param>
/// <param name="Format">Storage of the weights: the group's own format, else the model's, else what the library infers; never
/// <c>mixed-precision</c>.</param>
public sealed record QuantizationScheme(
    string Name,
    IReadOnlyList<string> Targets,
    QuantizationArgs? Weights,
    QuantizationArgs? InputActivations,
    QuantizationArgs? OutputActivations,
    string Format);
