using System.Globalization;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>Where tuning stands, kept in a file so that a run that was stopped goes on with the same bytes: parameters, Adam's moments, the best so far.</summary>
/// <param name="Step">Steps made.</param>
/// <param name="Before">Loss before the first step.</param>
/// <param name="Best">Least loss measured.</param>
/// <param name="BestStep">Step of the least loss.</param>
/// <param name="BestValues">Parameters then.</param>
internal sealed record TuningState(int Step, double Before, double Best, int BestStep, float[] BestValues)
{
    private const string Values = "values", FirstMoment = "first_moment", SecondMoment = "second_moment", BestTensor = "best";

    /// <summary>Writes the state and the arena; the file is replaced when the new one is whole.</summary>
    public void Write(string path, ParameterArena arena) => SafetensorsWriter.Write(
        path,
        [Tensor(Values, arena.Values.ToArray()), Tensor(FirstMoment, arena.FirstMoment.ToArray()), Tensor(SecondMoment, arena.SecondMoment.ToArray()), Tensor(BestTensor, BestValues)],
        new Dictionary<string, string>
        {
            ["step"] = Step.ToString(CultureInfo.InvariantCulture),
            ["before"] = Before.ToString("R", CultureInfo.InvariantCulture),
            ["best_loss"] = Best.ToString("R", CultureInfo.InvariantCulture),
            ["best_step"] = BestStep.ToString(CultureInfo.InvariantCulture),
        });

    /// <summary>Reads a state back and fills the arena; null where there is none.</summary>
    public static TuningState? TryRead(string path, ParameterArena arena)
    {
        if (!File.Exists(path)) return null;
        using SafetensorsFile file = SafetensorsFile.Open(path);
        arena.Values.CopyFrom(Read(file, Values, arena));
        arena.FirstMoment.CopyFrom(Read(file, FirstMoment, arena));
        arena.SecondMoment.CopyFrom(Read(file, SecondMoment, arena));
        return new TuningState(
            (int)Number("step"), Number("before"), Number("best_loss"), (int)Number("best_step"), Read(file, BestTensor, arena));

        double Number(string key) => file.Metadata.TryGetValue(key, out string? text) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            ? value
            : throw new InvalidDataException($"{path}: '{key}' is missing or no number; delete the file to tune the model from its beginning.");
    }

    private static PendingTensor Tensor(string name, float[] values) => PendingTensor.FromSingles(name, SafetensorsType.F32, [values.Length], values);

    private static float[] Read(SafetensorsFile file, string name, ParameterArena arena)
    {
        var values = new float[arena.Values.Count];
        file.ReadSingles(name, values);
        return values;
    }
}
