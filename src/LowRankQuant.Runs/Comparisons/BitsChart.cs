using System.Globalization;
using System.Security;
using System.Text;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>A figure against stored bits per weight, a line per method, as SVG; the figure on a logarithmic scale. Hovering over a point names it.</summary>
public static class BitsChart
{
    private const int Width = 720, Height = 440, Left = 70, Right = 150, Top = 30, Bottom = 50;
    private static readonly string[] Colors = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac", "#eeca3b", "#ff9da6"];

    /// <summary>Draws it.</summary>
    /// <param name="title">What is drawn.</param>
    /// <param name="cells">Figures; those without, or without bits, are left out.</param>
    /// <param name="value">The figure; above 0.</param>
    public static string Draw(string title, IReadOnlyList<CellResult> cells, Func<CellResult, double?> value)
    {
        (CellResult Cell, double Bits, double Value)[] points = [.. cells.Where(cell => cell.BitsPerWeight is not null && value(cell) is > 0).Select(cell => (cell, cell.BitsPerWeight!.Value, value(cell)!.Value))];
        var svg = new StringBuilder();
        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{SecurityElement.Escape(title)}\">");
        Line($"<rect width=\"100%\" height=\"100%\" fill=\"white\"/><text x=\"{Left}\" y=\"18\">{SecurityElement.Escape(title)}</text>");
        if (points.Length > 0) Plot();
        Line($"</svg>");
        return svg.ToString();

        void Plot()
        {
            double low = points.Min(point => point.Bits) - 0.1, high = points.Max(point => point.Bits) + 0.1;
            double least = Math.Log10(points.Min(point => point.Value)) - 0.05, most = Math.Log10(points.Max(point => point.Value)) + 0.05;
            double X(double bits) => Left + ((bits - low) / (high - low) * (Width - Left - Right));
            double Y(double figure) => Top + ((most - Math.Log10(figure)) / (most - least) * (Height - Top - Bottom));
            for (double bits = Math.Ceiling(low * 2) / 2; bits <= high; bits += 0.5)
                Line($"<line x1=\"{X(bits):F1}\" y1=\"{Top}\" x2=\"{X(bits):F1}\" y2=\"{Height - Bottom}\" stroke=\"#ddd\"/><text x=\"{X(bits):F1}\" y=\"{Height - Bottom + 16}\" text-anchor=\"middle\">{bits:0.0}</text>");
            for (int power = (int)Math.Floor(least); power <= Math.Ceiling(most); power++)
            {
                foreach (int digit in new[] { 1, 2, 5 })
                {
                    double figure = digit * Math.Pow(10, power);
                    if (Math.Log10(figure) < least || Math.Log10(figure) > most) continue;
                    Line($"<line x1=\"{Left}\" y1=\"{Y(figure):F1}\" x2=\"{Width - Right}\" y2=\"{Y(figure):F1}\" stroke=\"#eee\"/><text x=\"{Left - 6}\" y=\"{Y(figure) + 4:F1}\" text-anchor=\"end\">{figure:G3}</text>");
                }
            }
            Line($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 12}\" text-anchor=\"middle\">stored bits per weight</text>");
            int number = 0;
            foreach (var method in points.GroupBy(point => point.Cell.Method))
            {
                string color = Colors[number % Colors.Length];
                var line = method.OrderBy(point => point.Bits).ToArray();
                string path = string.Join(' ', line.Select(point => string.Create(CultureInfo.InvariantCulture, $"{X(point.Bits):F1},{Y(point.Value):F1}")));
                Line($"<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\"/>");
                foreach (var point in line)
                    Line($"<circle cx=\"{X(point.Bits):F1}\" cy=\"{Y(point.Value):F1}\" r=\"4\" fill=\"{color}\"><title>{SecurityElement.Escape($"{point.Cell.Method}, {point.Cell.Scheme}")}: {point.Value:G4} at {point.Bits:0.000} bits</title></circle>");
                Line($"<rect x=\"{Width - Right + 12}\" y=\"{Top + (number * 18)}\" width=\"10\" height=\"10\" fill=\"{color}\"/><text x=\"{Width - Right + 28}\" y=\"{Top + (number * 18) + 10}\">{SecurityElement.Escape(method.Key)}</text>");
                number++;
            }
        }

        void Line(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }
}
