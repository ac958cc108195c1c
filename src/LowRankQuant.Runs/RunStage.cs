using LowRankQuant.Quantization.Tuning;

namespace LowRankQuant.Runs;

/// <summary>The stages of a quantization run by name, as observers are told them and as a plan estimates their times.</summary>
internal static class RunStage
{
    /// <summary>Text into windows.</summary>
    public const string Calibration = "reading calibration text";

    /// <summary>The first part of a plan of flrq+: output sensitivities.</summary>
    public const string Sensitivity = "measuring what the model feels";

    /// <summary>The second part, where there is a budget.</summary>
    public const string Budget = "planning grids and ranks";

    /// <summary>The method, block by block.</summary>
    public const string Blocks = "quantizing blocks";

    /// <summary>The whole model, after its blocks.</summary>
    public const string Tuning = ModelTuner.Stage;

    /// <summary>The folder.</summary>
    public const string Writing = "writing the result";

    /// <summary>The original on the evaluation windows.</summary>
    public const string Original = "measuring full precision";

    /// <summary>The baseline.</summary>
    public const string Baseline = "measuring round to nearest";

    /// <summary>The quantized model.</summary>
    public const string Result = "measuring the result";

    /// <summary>The result as its files say, where the recipe says more.</summary>
    public const string AsStored = "measuring the result as it is stored";

    /// <summary>Texts of both models side by side, of a report in depth.</summary>
    public const string Samples = "writing texts side by side";

    /// <summary>Linears of the result in the original one by one, of a report in depth.</summary>
    public const string Modules = "measuring what linears lose one by one";

    /// <summary>What the original loses by itself in bf16, of a report in depth.</summary>
    public const string Floor = "measuring what bf16 loses by itself";

    /// <summary>What the errors of blocks come to, in comparisons.</summary>
    public const string BlockErrors = "measuring errors of block outputs";
}
