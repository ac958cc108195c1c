using System.Globalization;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>
/// Where tuning stands, kept in a file so that a run that was stopped goes on with the same bytes; parameters, Adam's moments and the parameters of the least loss
/// (<see cref="ParameterArena.Kept"/>) lie in the arena and go to the file from there.
/// </summary>
/// <param name="Step">Steps made.</param>
/// <param name="Before">Loss before the first step.</param>
/// <param name="Best">Least loss measured.</param>
/// <param name="BestStep">Step of the least loss.</param>
internal sealed record TuningState(int Step, double Before, double Best, int BestStep)
{
    private const string Values = "values", FirstMoment = "first_moment", SecondMoment = "second_moment", BestTensor = "best";

    // Floats that pass through memory at a time.
    private const int Part = 1 << 20;

    /// <summary>Writes the state and the arena; the file is replaced when the new one is whole.</summary>
    public void Write(string path, ParameterArena arena) => SafetensorsWriter.Write(
        path,
        [Pending(Values, arena.Values), Pending(FirstMoment, arena.FirstMoment), Pending(SecondMoment, arena.SecondMoment), Pending(BestTensor, arena.Kept)],
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
        Read(file, Values, arena.Values);
        Read(file, FirstMoment, arena.FirstMoment);
        Read(file, SecondMoment, arena.SecondMoment);
        Read(file, BestTensor, arena.Kept);
        return new TuningState((int)Number("step"), Number("before"), Number("best_loss"), (int)Number("best_step"));

        double Number(string key) => file.Metadata.TryGetValue(key, out string? text) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            ? value
            : throw new InvalidDataException($"{path}: '{key}' is missing or no number; delete the file to tune the model from its beginning.");
    }

    private static PendingTensor Pending(string name, Tensor tensor) => new(name, SafetensorsType.F32, [tensor.Count], sink =>
    {
        float[] part = new float[Math.Min(tensor.Count, Part)];
        for (long start = 0; start < tensor.Count; start += Part)
        {
            Span<float> values = part.AsSpan(0, (int)Math.Min(Part, tensor.Count - start));
            tensor.Device.Kernels.Download(tensor.Slice(start, values.Length), values);
            sink.WriteSingles(values);
        }
    });

    private static void Read(SafetensorsFile file, string name, Tensor tensor)
    {
        float[] part = new float[Math.Min(tensor.Count, Part)];
        for (long start = 0; start < tensor.Count; start += Part)
        {
            Span<float> values = part.AsSpan(0, (int)Math.Min(Part, tensor.Count - start));
            file.ReadSingles(name, values, start);
            tensor.Slice(start, values.Length).CopyFrom(values);
        }
    }
}
