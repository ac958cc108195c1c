using System.Text.Json.Serialization.Metadata;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>Cells read back from the folder of a comparison. They may come from anybody: sizes and numbers are bounded, and nothing that must be there is missing afterwards.</summary>
public static class ComparisonFiles
{
    private const int MostCells = 1000;
    private const long LargestCell = 8L << 20;

    private static readonly JsonTypeInfo<CellResult> Strict = StrictJson.Of<CellResult>(ComparisonJson.Default);

    /// <summary>Whether a path is the folder of a comparison and of no run.</summary>
    public static bool IsComparison(string path) => Directory.Exists(Path.Combine(path, ComparisonRun.CellsFolder)) && !File.Exists(Path.Combine(path, RunFolder.ReportName));

    /// <summary>Reads all cells of a folder, those of earlier comparisons there too, in the order of their files' names.</summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="InvalidDataException">There is no cell, there are too many, or one is damaged or too large.</exception>
    public static IReadOnlyList<CellResult> Read(string folder)
    {
        string cells = Path.Combine(folder, ComparisonRun.CellsFolder);
        FileInfo[] files = [.. new DirectoryInfo(cells).EnumerateFiles("*.json").OrderBy(file => file.Name, StringComparer.Ordinal).Take(MostCells + 1)];
        if (files.Length == 0) throw new InvalidDataException($"{cells} holds no cell of a comparison.");
        if (files.Length > MostCells) throw new InvalidDataException($"{cells} holds more than {MostCells} cells; a page holds no more.");
        return [.. files.Select(Read)];
    }

    private static CellResult Read(FileInfo file)
    {
        if (file.Length > LargestCell) throw new InvalidDataException($"{file.FullName} has {file.Length} bytes; a cell has at most {LargestCell}.");
        CellResult cell = StrictJson.Parse(File.ReadAllBytes(file.FullName), file.FullName, Strict, "cell of a comparison", cell => [cell.Original?.Tasks, cell.Result?.Tasks]);
        return cell with
        {
            Original = ReportDefaults.Fill(cell.Original),
            Result = ReportDefaults.Fill(cell.Result),
            BlockLosses = cell.BlockLosses ?? [],
            HeldOutLosses = cell.HeldOutLosses ?? [],
        };
    }
}
