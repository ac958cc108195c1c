using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Corrections;

namespace LowRankQuant.Runs.Correcting;

/// <summary>A run of <c>lrq correct</c>, checked.</summary>
public sealed record CorrectJob
{
    /// <summary>The quantized model; stays the caller's.</summary>
    public required CausalModel Quantized { get; init; }

    /// <summary>The original; stays the caller's.</summary>
    public required CausalModel Reference { get; init; }

    /// <summary>What is done.</summary>
    public required BranchCorrectionOptions Options { get; init; }

    /// <summary>Where calibration windows come from.</summary>
    public required CalibrationOptions Calibration { get; init; }

    /// <summary>Folder of the adapter.</summary>
    public required string Output { get; init; }

    /// <summary>Delete what another run left in the folder.</summary>
    public bool Overwrite { get; init; }

    /// <summary>How the adapter is written.</summary>
    public AdapterForm Form { get; init; }

    /// <summary>Type of a PEFT folder's factors; null for the narrowest that holds them exactly.</summary>
    public SafetensorsType? FactorType { get; init; }

    /// <summary>Memory for activations, bytes; null for half of what the machine has.</summary>
    public long? MemoryBytes { get; init; }
}
